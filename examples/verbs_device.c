/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A device for libibverbs that is no hardware: it registers memory, and does nothing else
 *
 * What is defined here stands before the functions of libibverbs and librdmacm, so that libfabric's provider for verbs
 * finds one device and opens it.  The provider and its cache of registrations are libfabric's own.
 */
#include "verbs_device.h"

#include <errno.h>
#include <infiniband/verbs.h>
#include <stdlib.h>

/* Of librdmacm and libefa, whose headers are not needed otherwise. */
struct efadv_device_attr;
struct ibv_context **rdma_get_devices(int *nr);
void rdma_free_devices(struct ibv_context **list);
int efadv_query_device(struct ibv_context *context, struct efadv_device_attr *attr, uint32_t bytes);

static struct ibv_device device = { .node_type = IBV_NODE_CA, .transport_type = IBV_TRANSPORT_IB, .name = "software" };
static struct ibv_device *devices[] = { &device, NULL };
static struct ibv_context context = { .device = &device, .mutex = PTHREAD_MUTEX_INITIALIZER };
static struct ibv_context *contexts[] = { &context, NULL };
static struct ibv_pd pd = { .context = &context };
static struct ibv_cq cq = { .context = &context };
static struct ibv_qp qp = { .context = &context, .pd = &pd };

/* ---- the one device ---- */

struct ibv_device **ibv_get_device_list(int *nr)
{
	if (nr)
		*nr = 1;
	return devices;
}

void ibv_free_device_list(struct ibv_device **list)
{
	(void)list;
}

struct ibv_context **rdma_get_devices(int *nr)
{
	if (nr)
		*nr = 1;
	return contexts;
}

void rdma_free_devices(struct ibv_context **list)
{
	(void)list;
}

const char *ibv_get_device_name(struct ibv_device *d)
{
	return d->name;
}

struct ibv_context *ibv_open_device(struct ibv_device *d)
{
	(void)d;
	return &context;
}

int ibv_close_device(struct ibv_context *c)
{
	(void)c;
	return 0;
}

int ibv_query_device(struct ibv_context *c, struct ibv_device_attr *attr)
{
	(void)c;
	*attr = (struct ibv_device_attr){ .max_mr = 1 << 16, .max_mr_size = UINT64_MAX, .max_qp = 1, .max_cq = 1,
					  .max_qp_wr = 64, .max_sge = 1, .phys_port_cnt = 1 };
	return 0;
}

/* The header has a macro of this name, which calls the function. */
int(ibv_query_port)(struct ibv_context *c, uint8_t port, struct _compat_ibv_port_attr *attr)
{
	(void)c, (void)port;
	*(struct ibv_port_attr *)(void *)attr = (struct ibv_port_attr){ .state = IBV_PORT_ACTIVE,
									.active_mtu = IBV_MTU_4096,
									.max_msg_sz = 4096 };
	return 0;
}

int ibv_query_gid(struct ibv_context *c, uint8_t port, int index, union ibv_gid *gid)
{
	(void)c, (void)port, (void)index;
	*gid = (union ibv_gid){ .raw = { 0 } };
	return 0;
}

/* libfabric's other provider over libibverbs asks whether the device is its own. */
int efadv_query_device(struct ibv_context *c, struct efadv_device_attr *attr, uint32_t bytes)
{
	(void)c, (void)attr, (void)bytes;
	return EOPNOTSUPP;
}

/* ---- what the provider makes to learn what the device can do ---- */

struct ibv_pd *ibv_alloc_pd(struct ibv_context *c)
{
	(void)c;
	return &pd;
}

int ibv_dealloc_pd(struct ibv_pd *p)
{
	(void)p;
	return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *c, int nr, void *arg, struct ibv_comp_channel *channel, int vector)
{
	(void)c, (void)nr, (void)arg, (void)channel, (void)vector;
	return &cq;
}

int ibv_destroy_cq(struct ibv_cq *c)
{
	(void)c;
	return 0;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *p, struct ibv_qp_init_attr *attr)
{
	(void)p;
	attr->cap.max_inline_data = 0;
	return &qp;
}

int ibv_destroy_qp(struct ibv_qp *q)
{
	(void)q;
	return 0;
}

/* ---- registered memory ---- */

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *p, void *address, size_t bytes, uint64_t iova, unsigned access)
{
	struct ibv_mr *mr = calloc(1, sizeof(*mr));

	(void)iova, (void)access;
	if (!mr)
		return NULL;
	mr->context = &context;
	mr->pd = p;
	mr->addr = address;
	mr->length = bytes;
	device_registered(address, bytes, true);
	return mr;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	device_registered(mr->addr, mr->length, false);
	free(mr);
	return 0;
}
