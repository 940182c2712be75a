# SPDX-FileCopyrightText: 2026 libmirror contributors
# SPDX-License-Identifier: MIT

# MIRROR_HARDENING: appends to PROJECT_CFLAGS and sets HARDENING_LDFLAGS to what the compiler and the linker take of the
# usual flags; hardening is what the summary says. Fortified functions need optimisation, and are left alone where the
# builder asks for others; sanitizers have checks of their own.
#
# The stack protector is for those who ask. With it and the rest a bracket over one mirror has 428 instructions instead
# of 415, a register 539 instead of 507 (mirror-bench run --filter counts/, gcc 12, x86-64, 2026-11-28).
AC_DEFUN([MIRROR_HARDENING], [
  AC_ARG_ENABLE([hardening],
    [AS_HELP_STRING([--disable-hardening], [build without fortified functions, RELRO and the like])
AS_HELP_STRING([--enable-hardening=full], [... with the stack protector besides])],
    [], [enable_hardening=yes])
  hardening=no
  AS_IF([test "x$enable_hardening" != xno], [
    mirror_before=$PROJECT_CFLAGS
    MIRROR_CFLAGS([-fstack-clash-protection -fcf-protection])
    AS_IF([test "x$enable_hardening" = xfull], [MIRROR_CFLAGS([-fstack-protector-strong])])
    AS_IF([test "x$with_sanitizer" = xno], [
      AC_MSG_CHECKING([whether functions can be fortified])
      mirror_saved_CFLAGS=$CFLAGS
      CFLAGS="$CFLAGS -Werror -Wp,-D_FORTIFY_SOURCE=2"
      AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
          #ifndef __OPTIMIZE__
          #error not optimised
          #endif
          #include <stdio.h>
        ]])],
        [AC_MSG_RESULT([yes])
         PROJECT_CFLAGS="$PROJECT_CFLAGS -Wp,-D_FORTIFY_SOURCE=2"],
        [AC_MSG_RESULT([no])])
      CFLAGS=$mirror_saved_CFLAGS])
    MIRROR_LDFLAGS([RELRO_LDFLAGS], [-Wl,-z,relro])
    MIRROR_LDFLAGS([NOW_LDFLAGS], [-Wl,-z,now])
    MIRROR_LDFLAGS([NOEXECSTACK_LDFLAGS], [-Wl,-z,noexecstack])
    HARDENING_LDFLAGS="$RELRO_LDFLAGS $NOW_LDFLAGS $NOEXECSTACK_LDFLAGS"
    hardening="${PROJECT_CFLAGS#"$mirror_before"} $HARDENING_LDFLAGS"])
  AC_SUBST([HARDENING_LDFLAGS])
])
