# SPDX-FileCopyrightText: 2026 libmirror contributors
# SPDX-License-Identifier: MIT

# MIRROR_CFLAGS(FLAGS): appends to PROJECT_CFLAGS each flag that the C compiler takes. clang only warns about a
# warning flag that it does not know, hence -Werror in the trial.
AC_DEFUN([MIRROR_CFLAGS], [
  mirror_saved_CFLAGS=$CFLAGS
  for mirror_flag in $1; do
    AC_MSG_CHECKING([whether $CC takes $mirror_flag])
    CFLAGS="$mirror_saved_CFLAGS -Werror $mirror_flag"
    AC_COMPILE_IFELSE([AC_LANG_SOURCE([[int mirror_trial;]])],
      [AC_MSG_RESULT([yes])
       PROJECT_CFLAGS="$PROJECT_CFLAGS $mirror_flag"],
      [AC_MSG_RESULT([no])])
  done
  CFLAGS=$mirror_saved_CFLAGS
  AC_SUBST([PROJECT_CFLAGS])
])

# MIRROR_LDFLAGS(VARIABLE, FLAG): sets the variable to the flag if the linker takes it.
AC_DEFUN([MIRROR_LDFLAGS], [
  AC_MSG_CHECKING([whether the linker takes $2])
  mirror_saved_LDFLAGS=$LDFLAGS
  LDFLAGS="$LDFLAGS $2"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes])
     $1="$2"],
    [AC_MSG_RESULT([no])])
  LDFLAGS=$mirror_saved_LDFLAGS
  AC_SUBST([$1])
])

# MIRROR_FOUND(SUFFIX, TEXT): makes have_suffix known as HAVE_SUFFIX to the Makefile and to the sources.
AC_DEFUN([MIRROR_FOUND], [
  AM_CONDITIONAL([HAVE_$1], [test "$m4_tolower([have_$1])" = yes])
  AS_IF([test "$m4_tolower([have_$1])" = yes], [AC_DEFINE([HAVE_$1], [1], [Define if $2 is to be used.])])
])

# MIRROR_UNWINDING: stops unless a cleanup runs when a stack is unwound through a frame of C, with the flags that the
# library is compiled with.
AC_DEFUN([MIRROR_UNWINDING], [
  AC_MSG_CHECKING([whether exceptions pass through C])
  mirror_saved_CFLAGS=$CFLAGS
  CFLAGS="$PROJECT_CFLAGS $CFLAGS"
  AC_RUN_IFELSE([AC_LANG_SOURCE([[
      #include <stdlib.h>
      #include <string.h>
      #include <unwind.h>

      static volatile int cleaned;
      static struct _Unwind_Exception exception;

      static void clean(int *unused)
      {
        (void)unused;
        cleaned = 1;
      }

      static _Unwind_Reason_Code at_frame(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                          struct _Unwind_Exception *thrown, struct _Unwind_Context *context, void *arg)
      {
        (void)version, (void)class, (void)thrown, (void)context, (void)arg;
        if (actions & _UA_END_OF_STACK)
          exit(!cleaned);
        return _URC_NO_REASON;
      }

      __attribute__((noinline)) static void throw(void)
      {
        _Unwind_ForcedUnwind(&exception, at_frame, NULL);
      }

      __attribute__((noinline)) static void callback(void (*function)(void))
      {
        __attribute__((cleanup(clean))) int held = 0;

        function();
        held++;
      }

      int main(void)
      {
        void (*volatile function)(void) = throw;

        memset(&exception, 0, sizeof(exception));
        callback(function);
        return 1;
      }
    ]])], [mirror_unwinds=yes], [mirror_unwinds=no],
    # What cannot be run is linked: the macro says that cleanups are compiled, the function that there is an unwinder.
    [AC_LINK_IFELSE([AC_LANG_PROGRAM([[
        #ifndef __EXCEPTIONS
        #error compiled without cleanups
        #endif
        void _Unwind_Resume(void *exception);
      ]], [[_Unwind_Resume(0);]])], [mirror_unwinds=yes], [mirror_unwinds=no])])
  CFLAGS=$mirror_saved_CFLAGS
  AC_MSG_RESULT([$mirror_unwinds])
  AS_IF([test "$mirror_unwinds" = no],
    [AC_MSG_ERROR([exceptions do not pass through C here, so an exception in a callback would leave locks held.
Take -fno-exceptions out of CFLAGS, do not link with -nodefaultlibs or a libgcc without its unwinder,
and use a compiler that knows -fexceptions (gcc or clang).  musl-gcc borrows a libgcc whose unwinder needs glibc:
use a compiler that is made for musl.  config.log says what failed])])
])

# MIRROR_WITH_TLS_MODEL: --with-tls-model sets MIRROR_TLS_MODEL for the library, and TLS_CPPFLAGS for programs.
AC_DEFUN([MIRROR_WITH_TLS_MODEL], [
  AC_ARG_WITH([tls-model],
    [AS_HELP_STRING([--with-tls-model=MODEL], [initial-exec (the default), local-dynamic or global-dynamic. With
      initial-exec a section is fastest, and a thread's first one is safe in a signal handler; a program can dlopen
      some dozens of plug-ins that contain the library. With the others it can dlopen any number])],
    [], [with_tls_model=initial-exec])
  AS_CASE([$with_tls_model],
    [initial-exec], [TLS_CPPFLAGS=],
    [local-dynamic|global-dynamic],
    [TLS_CPPFLAGS=-DUSRCU_DYNAMIC_TLS
     AC_DEFINE([USRCU_DYNAMIC_TLS], [1], [What programs reach is not initial-exec.])],
    [AC_MSG_ERROR([--with-tls-model is initial-exec, local-dynamic or global-dynamic, not "$with_tls_model"])])
  AC_DEFINE_UNQUOTED([MIRROR_TLS_MODEL], ["$with_tls_model"], [How the library reaches its thread-local variables.])
  AC_SUBST([TLS_CPPFLAGS])
])

# MIRROR_FIND_MUSL: is_musl.  musl has no macro that says so; its headers leave these behind.
AC_DEFUN([MIRROR_FIND_MUSL], [
  AC_MSG_CHECKING([whether the C library is musl])
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
      #include <stdio.h>
      #if defined(__GLIBC__) || !defined(__DEFINED_size_t)
      #error not musl
      #endif
    ]], [])], [is_musl=yes], [is_musl=no])
  AC_MSG_RESULT([$is_musl])
])

# MIRROR_CROSS_PKG_CONFIG: the build machine's pkg-config must not answer for the host, unless it was told how.
AC_DEFUN([MIRROR_CROSS_PKG_CONFIG], [
  mirror_optional=yes
  AS_IF([test "$cross_compiling" = yes && test -z "$ac_cv_env_PKG_CONFIG_set$PKG_CONFIG_LIBDIR$PKG_CONFIG_SYSROOT_DIR"],
    [AS_CASE([/$PKG_CONFIG], [*/$host_alias-*], [],
      [mirror_optional=no
       AC_MSG_NOTICE([cross compiling without a $host_alias-pkg-config: the optional libraries are left out
  (set PKG_CONFIG, PKG_CONFIG_LIBDIR or PKG_CONFIG_SYSROOT_DIR to have them)])])])
])

# MIRROR_OPTIONAL(OPTION, PREFIX, MODULE, PURPOSE): --with-OPTION asks pkg-config for MODULE. It is used if there;
# when asked for by name and absent, that is an error.
AC_DEFUN([MIRROR_OPTIONAL], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--without-$1], [leave out: $4])], [], [with_$1=auto])
  m4_tolower([have_$2])=no
  AS_IF([test "x$with_$1" != xno && test "$mirror_optional" = yes],
    [PKG_CHECK_MODULES([$2], [$3], [m4_tolower([have_$2])=yes], [m4_tolower([have_$2])=no])])
  AS_IF([test "x$with_$1" != xno && test "x$with_$1" != xauto && test "$m4_tolower([have_$2])" = no],
    [AC_MSG_ERROR([--with-$1 was given, but pkg-config does not find $3 for $host])])
  MIRROR_FOUND([$2], [$3])
])

# MIRROR_LIBRARY(OPTION, PREFIX, HEADER, LIBRARY, FUNCTION, PURPOSE): one without a pkg-config file.
AC_DEFUN([MIRROR_LIBRARY], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--without-$1], [leave out: $6])], [], [with_$1=auto])
  m4_tolower([have_$2])=no
  AS_IF([test "x$with_$1" != xno],
    [AC_CHECK_HEADER([$3], [AC_CHECK_LIB([$4], [$5], [m4_tolower([have_$2])=yes; $2_LIBS=-l$4])])])
  AS_IF([test "x$with_$1" != xno && test "x$with_$1" != xauto && test "$m4_tolower([have_$2])" = no],
    [AC_MSG_ERROR([--with-$1 was given, but <$3> or lib$4 is missing])])
  AC_SUBST([$2_LIBS])
  MIRROR_FOUND([$2], [$4])
])

# MIRROR_PROGRAM(VARIABLE, PROGRAM): the program's path, or empty; HAVE_VARIABLE for the Makefile.
AC_DEFUN([MIRROR_PROGRAM], [
  AC_PATH_PROG([$1], [$2])
  AS_IF([test -n "$[]$1"], [m4_tolower([have_$1])=yes], [m4_tolower([have_$1])=no])
  AM_CONDITIONAL([HAVE_$1], [test -n "$[]$1"])
])

# MIRROR_COMPLETION(SHELL, PREFIX, FOLDER): where the shell's completion is installed, below DATADIR by default.
AC_DEFUN([MIRROR_COMPLETION], [
  AC_ARG_WITH([$1-completion-dir],
    [AS_HELP_STRING([--with-$1-completion-dir=DIR],
      [install completion for $1 in DIR (default: $3 below DATADIR); "no": nowhere])],
    [], [with_$1_completion_dir=yes])
  AS_IF([test "x$with_$1_completion_dir" = xyes], [$2_COMPLETION_DIR='${datadir}/$3'],
    [$2_COMPLETION_DIR=$with_$1_completion_dir])
  AM_CONDITIONAL([WITH_$2_COMPLETION], [test "x$with_$1_completion_dir" != xno])
  AC_SUBST([$2_COMPLETION_DIR])
])
