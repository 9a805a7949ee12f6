#include "server/queue_flow.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int party_compare(const void *a, const void *b)
{
        return strcmp(((const struct party *)a)->key, ((const struct party *)b)->key);
}

static int flow_compare(const void *a, const void *b)
{
        const struct flow *one = a, *other = b;

        if (one->client != other->client)
                return (uintptr_t)one->client < (uintptr_t)other->client ? -1 : 1;
        if (one->function != other->function)
                return (uintptr_t)one->function < (uintptr_t)other->function ? -1 : 1;
        return 0;
}

static struct party *party_get(void **tree, const char *key, uint64_t new_round)
{
        struct party sought = { .key = key }, *party;
        struct party **found = (struct party **)tfind(&sought, tree, party_compare);
        size_t size = strlen(key) + 1;

        if (found)
                return *found;
        party = calloc(1, sizeof *party + size);
        if (!party)
                return NULL;
        party->key = memcpy(party + 1, key, size);
        party->round = new_round;
        if (!tsearch(party, tree, party_compare)) {
                free(party);
                return NULL;
        }
        return party;
}

static void party_forget_unused(void **tree, struct party *party)
{
        if (!party || party->flows > 0)
                return;
        tdelete(party, tree, party_compare);
        free(party);
}

static struct flow *flow_get(struct flow_index *index, struct party *client, struct party *function)
{
        struct flow sought = { .client = client, .function = function }, *flow;
        struct flow **found = (struct flow **)tfind(&sought, &index->flows, flow_compare);

        if (found)
                return *found;
        flow = malloc(sizeof *flow);
        if (!flow)
                return NULL;
        *flow = sought;
        list_init(&flow->link);
        list_init(&flow->waiting);
        if (!tsearch(flow, &index->flows, flow_compare)) {
                free(flow);
                return NULL;
        }
        client->flows++;
        function->flows++;
        return flow;
}

struct flow *flow_join(
        struct flow_index *index, const char *client_key, const char *function_key, uint64_t new_round)
{
        struct party *client = party_get(&index->clients, client_key, new_round);
        struct party *function = party_get(&index->functions, function_key, new_round);
        struct flow *flow = client && function ? flow_get(index, client, function) : NULL;

        if (flow) {
                flow->entries++;
        } else {
                party_forget_unused(&index->clients, client);
                party_forget_unused(&index->functions, function);
        }
        return flow;
}

void flow_part(struct flow_index *index, struct flow *flow)
{
        if (--flow->entries > 0)
                return;
        tdelete(flow, &index->flows, flow_compare);
        flow->client->flows--;
        flow->function->flows--;
        party_forget_unused(&index->clients, flow->client);
        party_forget_unused(&index->functions, flow->function);
        free(flow);
}

void flow_index_deinit(struct flow_index *index)
{
        tdestroy(index->flows, free);
        tdestroy(index->clients, free);
        tdestroy(index->functions, free);
}
