/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The same with the publisher that has objects.  What a system without userfaultfd says is an answer too. */
#include <errno.h>
#include <mirror/uffd.h>

int main(void)
{
	struct mirror_list *list;
	struct mirror_uffd *uffd;
	int err;

	if (mirror_list_create(&list, NULL))
		return 1;
	err = mirror_uffd_create(&uffd, list, 0);
	if (err)
		return err != -EPERM && err != -ENOSYS && err != -EOPNOTSUPP;
	return mirror_uffd_flush(uffd) || mirror_uffd_destroy(uffd) || mirror_list_destroy(list);
}
