#pragma once

/* Intrusive, circular, doubly linked list. The head is a link too; a link that is in no list points to
 * itself. */

#include "base/macros.h"

struct list {
        struct list *next;
        struct list *previous;
};

static inline void list_init(struct list *link)
{
        link->next = link->previous = link;
}

static inline int list_empty(const struct list *head)
{
        return head->next == head;
}

static inline void list_append(struct list *head, struct list *link)
{
        link->previous = head->previous;
        link->next = head;
        head->previous->next = link;
        head->previous = link;
}

static inline void list_remove(struct list *link)
{
        /* The analyzer cannot follow a link that leads back into its own list.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        link->previous->next = link->next;
        link->next->previous = link->previous;
        list_init(link);
}

/* Safe against removal of the current link only. */
#define list_foreach(link, head)                                                                             \
        for (struct list *link = (head)->next, *link##_next = link->next; link != (head);                    \
                link = link##_next, link##_next = link->next)
