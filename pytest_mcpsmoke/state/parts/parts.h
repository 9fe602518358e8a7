/* What the files of this folder share. They make up one extension, pytest_mcpsmoke.state._parts. */
#ifndef MCPSMOKE_PARTS_H
#define MCPSMOKE_PARTS_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "addresses.h"

/* Dict watchers (3.12+) tell of writes; before, a version tag moves with each. */
#define HAS_WATCHERS (PY_VERSION_HEX >= 0x030C0000)

/* The attributes of an instance, a new reference; an empty dict when it has none, NULL with an error set. */
PyObject *mcpsmoke_attributes_of(PyObject *object);

/* Whoever wants to know of writes to dicts. `written` must allocate nothing and run no Python: it is called
 * in the middle of a write, before it; is_gone: the dict dies, and is watched no more. */
typedef struct Listener {
    Addresses values;    /* address of a watched dict -> the value that `written` gets */
    void *owner;
    void (*written)(void *owner, Py_ssize_t value, int is_gone);
    struct Listener *next;
    int is_open;
} Listener;

void mcpsmoke_listener_open(Listener *listener, void *owner, void (*written)(void *, Py_ssize_t, int));
void mcpsmoke_listener_close(Listener *listener);

/* 1: writes to this dict are told from now on, 0: they cannot be, -1: an error is set.
 * A dict that is watched already stays under its value; whoever watches holds it alive, or learns of its end. */
int mcpsmoke_watch(Listener *listener, PyObject *dict, Py_ssize_t value);
void mcpsmoke_unwatch(Listener *listener, PyObject *dict);

extern PyType_Spec mcpsmoke_comparer_spec;
extern PyType_Spec mcpsmoke_functions_spec;
extern PyType_Spec mcpsmoke_written_spec;

#endif
