/* Watching dicts: one watcher id serves the process, however many listeners there are. */
#include "parts.h"

#if HAS_WATCHERS

static int watcher_id = -1;
static Listener *first = NULL;

static int
on_event(PyDict_WatchEvent event, PyObject *dict, PyObject *Py_UNUSED(key), PyObject *Py_UNUSED(value))
{
    for (Listener *listener = first; listener != NULL; listener = listener->next) {
        Py_ssize_t *value = addresses_find(&listener->values, dict);
        if (value == NULL) {
            continue;
        }
        int is_gone = event == PyDict_EVENT_DEALLOCATED;
        Py_ssize_t told = *value;
        if (is_gone) {
            addresses_remove(&listener->values, dict);
        }
        listener->written(listener->owner, told, is_gone);
    }
    return 0;
}

static int
is_watched(PyObject *dict)
{
    for (Listener *listener = first; listener != NULL; listener = listener->next) {
        if (addresses_find(&listener->values, dict) != NULL) {
            return 1;
        }
    }
    return 0;
}

void
mcpsmoke_listener_open(Listener *listener, void *owner, void (*written)(void *, Py_ssize_t, int))
{
    listener->owner = owner;
    listener->written = written;
    if (watcher_id < 0) {
        watcher_id = PyDict_AddWatcher(on_event);
        PyErr_Clear();  /* all ids are taken: then everything is compared */
    }
    if (watcher_id >= 0) {
        listener->next = first;
        first = listener;
        listener->is_open = 1;
    }
}

void
mcpsmoke_listener_close(Listener *listener)
{
    if (!listener->is_open) {
        return;
    }
    listener->is_open = 0;
    Listener **at = &first;
    while (*at != listener) {
        at = &(*at)->next;
    }
    *at = listener->next;
    for (size_t i = 0; i < listener->values.room; i++) {
        PyObject *dict = (PyObject *)listener->values.slots[i].key;
        if (dict != NULL && (const void *)dict != REMOVED && !is_watched(dict)
                && PyDict_Unwatch(watcher_id, dict) < 0) {
            PyErr_WriteUnraisable(NULL);
        }
    }
    addresses_clear(&listener->values);
    if (first == NULL) {
        int id = watcher_id;
        watcher_id = -1;
        if (PyDict_ClearWatcher(id) < 0) {
            PyErr_WriteUnraisable(NULL);
        }
    }
}

int
mcpsmoke_watch(Listener *listener, PyObject *dict, Py_ssize_t value)
{
    if (!listener->is_open) {
        return 0;
    }
    if (addresses_find(&listener->values, dict) != NULL) {
        return 1;
    }
    if (addresses_add(&listener->values, dict, value) < 0) {
        return -1;
    }
    if (PyDict_Watch(watcher_id, dict) < 0) {
        addresses_remove(&listener->values, dict);
        return -1;
    }
    return 1;
}

void
mcpsmoke_unwatch(Listener *listener, PyObject *dict)
{
    addresses_remove(&listener->values, dict);
    if (!is_watched(dict) && PyDict_Unwatch(watcher_id, dict) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
}

#else  /* nobody tells: everything is compared */

void
mcpsmoke_listener_open(Listener *listener, void *owner, void (*written)(void *, Py_ssize_t, int))
{
    listener->owner = owner;
    listener->written = written;
}

void
mcpsmoke_listener_close(Listener *listener)
{
    addresses_clear(&listener->values);
}

int
mcpsmoke_watch(Listener *Py_UNUSED(listener), PyObject *Py_UNUSED(dict), Py_ssize_t Py_UNUSED(value))
{
    return 0;
}

void
mcpsmoke_unwatch(Listener *listener, PyObject *dict)
{
    addresses_remove(&listener->values, dict);
}

#endif
