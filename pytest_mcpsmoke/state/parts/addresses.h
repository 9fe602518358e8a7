/* A table from addresses to indices: open addressing, in plain memory, without a Python object per entry. */
#ifndef MCPSMOKE_ADDRESSES_H
#define MCPSMOKE_ADDRESSES_H
#include <Python.h>
#include <stddef.h>

typedef struct {
    const void *key;     /* NULL: never used; REMOVED: free again */
    Py_ssize_t value;
} Slot;

typedef struct {
    Slot *slots;
    size_t room;         /* a power of two, or 0 */
    size_t used, filled; /* filled: with the removed ones */
} Addresses;

static const char addresses_removed;
#define REMOVED ((const void *)&addresses_removed)

static inline size_t
addresses_start(const Addresses *table, const void *key)
{
    return (size_t)(((uintptr_t)key >> 4) * (uintptr_t)0x9E3779B97F4A7C15u >> 20) & (table->room - 1);
}

/* Where the value of a key stands, NULL when it has none. */
static inline Py_ssize_t *
addresses_find(const Addresses *table, const void *key)
{
    if (table->used == 0) {
        return NULL;
    }
    for (size_t i = addresses_start(table, key); table->slots[i].key != NULL; i = (i + 1) & (table->room - 1)) {
        if (table->slots[i].key == key) {
            return &table->slots[i].value;
        }
    }
    return NULL;
}

static inline void
addresses_place(Addresses *table, const void *key, Py_ssize_t value)
{
    size_t i = addresses_start(table, key);
    while (table->slots[i].key != NULL) {
        i = (i + 1) & (table->room - 1);
    }
    table->slots[i].key = key;
    table->slots[i].value = value;
}

static inline int
addresses_grow(Addresses *table)
{
    Addresses larger = {NULL, 1024, table->used, table->used};
    while (larger.room < 4 * (table->used + 1)) {
        larger.room *= 2;
    }
    larger.slots = PyMem_Calloc(larger.room, sizeof(Slot));
    if (larger.slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < table->room; i++) {
        if (table->slots[i].key != NULL && table->slots[i].key != REMOVED) {
            addresses_place(&larger, table->slots[i].key, table->slots[i].value);
        }
    }
    PyMem_Free(table->slots);
    *table = larger;
    return 0;
}

/* Add a key that is not there yet. -1: no memory, with an error set. */
static inline int
addresses_add(Addresses *table, const void *key, Py_ssize_t value)
{
    if (2 * (table->filled + 1) > table->room && addresses_grow(table) < 0) {
        return -1;
    }
    addresses_place(table, key, value);
    table->used++;
    table->filled++;
    return 0;
}

/* Remove a key, if it is there. */
static inline void
addresses_remove(Addresses *table, const void *key)
{
    Py_ssize_t *value = addresses_find(table, key);
    if (value != NULL) {
        ((Slot *)((char *)value - offsetof(Slot, value)))->key = REMOVED;
        table->used--;
    }
}

static inline void
addresses_clear(Addresses *table)
{
    PyMem_Free(table->slots);
    *table = (Addresses){NULL, 0, 0, 0};
}

#endif
