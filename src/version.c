/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the library says of itself. */

#include "port.h"

#include <mirror/version.h>

#include <errno.h>

int mirror_version(void)
{
	return MIRROR_VERSION;
}

int mirror_get_build(struct mirror_build *build)
{
	if (!build || build->size != sizeof(*build))
		return -EINVAL;
	build->version = MIRROR_VERSION_STRING;
	build->fences = port_membarrier_register() == 0 ? "membarrier" : "full";
	build->tls_model = MIRROR_TLS_MODEL;
#ifdef MIRROR_DEBUG
	build->assertions = true;
#else
	build->assertions = false;
#endif
	return 0;
}
