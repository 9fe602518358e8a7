/* Namespace accelerator: who wrote which key of which watched dict.
 *
 * CPython 3.12 and later: class Log, over the public dict watchers (PyDict_AddWatcher).
 * CPython 3.11: class Versions, over PyDictObject.ma_version_tag.
 *
 * Rules that the callback keeps:
 *   - it runs no user code: keys of other types than str are never hashed or compared (a subclass of str
 *     counts as the text it holds), values are only counted, never compared or released;
 *   - it preserves the error indicator and lets no error of its own out;
 *   - it holds no watched dict alive: a dict that dies takes its entry along.
 * What it holds is plain memory where that will do: thousands of objects more would make every full garbage
 * collection of the tests longer.
 * One watcher id serves the whole process, however many Logs are active (a pytest run inside a pytest run).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Whether a dict holds the same objects under the same names, in the same order, as its copy. */
static int
is_same(PyObject *dict, PyObject *copy)
{
    if (PyDict_GET_SIZE(dict) != PyDict_GET_SIZE(copy)) {
        return 0;
    }
    PyObject *key, *value, *other, *old;
    Py_ssize_t position = 0, place = 0;
    while (PyDict_Next(dict, &position, &key, &value) && PyDict_Next(copy, &place, &other, &old)) {
        if (key != other || value != old) {
            return 0;
        }
    }
    return 1;
}

#if PY_VERSION_HEX >= 0x030C0000

#define MAX_FRAMES 32  /* innermost frames kept per write; the nearest test frame is kept whatever its depth */
#define MAX_LOGS 16

typedef struct {
    PyObject *dict;      /* borrowed: a dict that dies takes its entry along; NULL: a free entry */
    PyObject *token;
    PyObject *pending;   /* dict: key -> [old value, stack]; NULL when nothing was written */
    Py_ssize_t next;     /* of a free entry: the next free one, or -1 */
    int is_written;      /* it stands in the list of the written ones; stays so when the dict dies */
    int is_mixed;        /* the dict may hold keys that are not exactly str */
} Entry;

typedef struct {
    PyObject_HEAD
    PyObject *files;     /* set of str: file names whose code counts as test code; shared with Python */
    PyObject *quiet;     /* set of str: file names whose code writes for itself: its frame is enough */
    PyObject *outer;     /* set of str: file names at which the way out ends; beyond them is no test code */
    PyObject *missing;   /* stands for "no value" */
    PyObject *indices;   /* dict: address of a watched dict -> index of its entry */
    PyObject *dead;      /* what a dying dict left behind: released by drain(), never in the callback */
    Entry *entries;
    Py_ssize_t size, room, free;  /* of entries: used or free again, allocated, the first free one or -1 */
    Py_ssize_t last;              /* index of the entry found last: writes come in runs */
    Py_ssize_t *written;          /* indices of the entries with something pending; has room for all */
    Py_ssize_t written_size;
    int is_active;
    int is_resting;      /* writes pass unnoticed */
} Log;

static int watcher_id = -1;
static Log *logs[MAX_LOGS];
static int log_count = 0;

/* (code, lasti, code, lasti, ...) from the innermost frame to the nearest test frame. */
static PyObject *
stack_of_writer(Log *log)
{
    PyObject *flat[2 * (MAX_FRAMES + 1)];
    int n = 0;
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    while (frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        int is_last = 0;
        if (PyUnicode_CheckExact(code->co_filename)) {
            is_last = PySet_Contains(n ? log->outer : log->quiet, code->co_filename);
            is_last = is_last ? is_last : PySet_Contains(log->files, code->co_filename);
        }
        if (is_last || n < 2 * MAX_FRAMES) {
            PyObject *lasti = is_last < 0 ? NULL : PyLong_FromLong(PyFrame_GetLasti(frame));
            if (lasti == NULL) {
                Py_DECREF(code);
                Py_DECREF(frame);
                goto error;
            }
            flat[n++] = (PyObject *)code;
            flat[n++] = lasti;
        }
        else {
            Py_DECREF(code);
        }
        if (is_last > 0) {
            Py_DECREF(frame);
            break;
        }
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    PyObject *stack = PyTuple_New(n);
    if (stack != NULL) {
        for (int i = 0; i < n; i++) {
            PyTuple_SET_ITEM(stack, i, flat[i]);
        }
        return stack;
    }
error:
    while (n > 0) {
        Py_DECREF(flat[--n]);
    }
    return NULL;
}

/* Return the entry of a watched dict: NULL when it is not watched or, with an error set, on failure. */
static Entry *
entry_of(Log *log, PyObject *dict)
{
    if (log->last < log->size && log->entries[log->last].dict == dict) {
        return &log->entries[log->last];
    }
    PyObject *address = PyLong_FromVoidPtr(dict);
    PyObject *index = address == NULL ? NULL : PyDict_GetItemWithError(log->indices, address);
    Py_XDECREF(address);
    if (index == NULL) {
        return NULL;
    }
    log->last = PyLong_AsSsize_t(index);
    Entry *entry = &log->entries[log->last];
    return entry->dict == dict ? entry : NULL;
}

/* Return the value under an exact string: borrowed, NULL when absent or, with an error set, on failure. */
static PyObject *
value_of(Entry *entry, PyObject *key)
{
    if (!entry->is_mixed) {
        return PyDict_GetItemWithError(entry->dict, key);
    }
    PyObject *other, *value;  /* a lookup could run the __eq__ of a key */
    Py_ssize_t position = 0;
    while (PyDict_Next(entry->dict, &position, &other, &value)) {
        if (PyUnicode_Check(other) && PyUnicode_Compare(other, key) == 0) {
            return value;
        }
    }
    return NULL;
}

/* Note that the exact string `key` of the dict of `entry` is about to change from `old` (NULL: absent). */
static int
note_text(Log *log, Entry *entry, PyObject *key, PyObject *old, PyObject *stack)
{
    if (entry->pending == NULL) {
        entry->pending = PyDict_New();
        if (entry->pending == NULL) {
            return -1;
        }
        if (!entry->is_written) {
            entry->is_written = 1;
            log->written[log->written_size++] = entry - log->entries;
        }
    }
    PyObject *record = PyDict_GetItemWithError(entry->pending, key);
    if (record != NULL) {  /* the first old value stays, the last writer counts */
        return PyList_SetItem(record, 1, Py_NewRef(stack));
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    record = PyList_New(2);
    if (record == NULL) {
        return -1;
    }
    PyList_SET_ITEM(record, 0, Py_NewRef(old != NULL ? old : log->missing));
    PyList_SET_ITEM(record, 1, Py_NewRef(stack));
    int failed = PyDict_SetItem(entry->pending, key, record);
    Py_DECREF(record);
    return failed;
}

/* Note a write to a key of any type: it counts when it is text. */
static int
note_write(Log *log, Entry *entry, PyObject *key, PyObject *stack)
{
    if (!PyUnicode_CheckExact(key)) {
        entry->is_mixed = 1;
    }
    if (!PyUnicode_Check(key)) {
        return 0;
    }
    PyObject *text = PyUnicode_FromObject(key);
    if (text == NULL) {
        return -1;
    }
    PyObject *old = value_of(entry, text);
    int failed = (old == NULL && PyErr_Occurred()) ? -1 : note_text(log, entry, text, old, stack);
    Py_DECREF(text);
    return failed;
}

/* A dict is emptied, or an empty one is filled at one go: every key of `all` is written. */
static int
note_all(Log *log, Entry *entry, PyObject *all, PyObject *stack)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(all, &position, &key, &value)) {
        if (note_write(log, entry, key, stack) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The dict dies: free its entry, but release what it held only later. */
static int
bury(Log *log, Entry *entry)
{
    PyObject *address = PyLong_FromVoidPtr(entry->dict);
    entry->dict = NULL;
    int failed = address == NULL || PyDict_DelItem(log->indices, address) < 0
        || PyList_Append(log->dead, entry->token) < 0
        || (entry->pending != NULL && PyList_Append(log->dead, entry->pending) < 0);
    Py_XDECREF(address);
    if (failed) {
        return -1;
    }
    Py_CLEAR(entry->token);
    Py_CLEAR(entry->pending);
    entry->next = log->free;
    log->free = entry - log->entries;
    return 0;
}

static int
note_event(Log *log, PyDict_WatchEvent event, PyObject *dict, PyObject *key)
{
    if (log->is_resting && event != PyDict_EVENT_DEALLOCATED) {
        return 0;
    }
    Entry *entry = entry_of(log, dict);
    if (entry == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (event == PyDict_EVENT_DEALLOCATED) {
        return bury(log, entry);
    }
    PyObject *stack = stack_of_writer(log);
    if (stack == NULL) {
        return -1;
    }
    int failed = 0;
    if (event == PyDict_EVENT_CLEARED) {
        failed = note_all(log, entry, dict, stack);
    }
    else if (event == PyDict_EVENT_CLONED) {
        failed = note_all(log, entry, key, stack);
    }
    else {
        failed = note_write(log, entry, key, stack);
    }
    Py_DECREF(stack);
    return failed;
}

static int
on_dict_event(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *new_value)
{
    PyObject *raised = PyErr_GetRaisedException();
    for (int i = 0; i < log_count; i++) {
        if (note_event(logs[i], event, dict, key) < 0) {
            PyErr_WriteUnraisable(NULL);
        }
    }
    PyErr_SetRaisedException(raised);
    return 0;
}

static int
is_watched_by_another(Log *self, PyObject *dict)
{
    for (int i = 0; i < log_count; i++) {
        if (logs[i] != self && entry_of(logs[i], dict) != NULL) {
            return 1;
        }
    }
    return 0;
}

/* Leave every dict and, as the last Log, the watcher id. Called from stop() and from the destructor. */
static int
log_leave(Log *self)
{
    if (!self->is_active) {
        return 0;
    }
    self->is_active = 0;
    int kept = 0;
    for (int i = 0; i < log_count; i++) {
        if (logs[i] != self) {
            logs[kept++] = logs[i];
        }
    }
    log_count = kept;
    for (Py_ssize_t i = 0; i < self->size; i++) {
        PyObject *dict = self->entries[i].dict;
        if (dict != NULL && !is_watched_by_another(self, dict) && PyDict_Unwatch(watcher_id, dict) < 0) {
            return -1;
        }
    }
    if (log_count == 0) {
        int id = watcher_id;
        watcher_id = -1;
        return PyDict_ClearWatcher(id);
    }
    return 0;
}

static PyObject *
Log_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"files", "missing", "quiet", "outer", NULL};
    PyObject *files, *missing, *quiet = NULL, *outer = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|O!O!", names, &PySet_Type, &files, &missing,
                                     &PySet_Type, &quiet, &PySet_Type, &outer)) {
        return NULL;
    }
    if (log_count == MAX_LOGS) {
        PyErr_SetString(PyExc_RuntimeError, "too many observers are active");
        return NULL;
    }
    if (watcher_id < 0) {
        watcher_id = PyDict_AddWatcher(on_dict_event);
        if (watcher_id < 0) {
            return NULL;
        }
    }
    Log *self = (Log *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->files = Py_NewRef(files);
    self->quiet = quiet != NULL ? Py_NewRef(quiet) : PySet_New(NULL);
    self->outer = outer != NULL ? Py_NewRef(outer) : PySet_New(NULL);
    self->missing = Py_NewRef(missing);
    self->indices = PyDict_New();
    self->dead = PyList_New(0);
    self->free = -1;
    if (self->quiet == NULL || self->outer == NULL || self->indices == NULL || self->dead == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->is_active = 1;
    logs[log_count++] = self;
    return (PyObject *)self;
}

static int
is_mixed(PyObject *dict)
{
    PyObject *key;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, NULL)) {
        if (!PyUnicode_CheckExact(key)) {
            return 1;
        }
    }
    return 0;
}

/* Return the index of an unused entry, -1 with an error set when there is no memory for more. */
static Py_ssize_t
unused_entry(Log *self)
{
    if (self->free >= 0) {
        Py_ssize_t index = self->free;
        self->free = self->entries[index].next;
        return index;
    }
    if (self->size == self->room) {
        Py_ssize_t room = self->room ? 2 * self->room : 1024;
        Entry *entries = PyMem_Realloc(self->entries, room * sizeof(Entry));
        if (entries != NULL) {
            self->entries = entries;
        }
        Py_ssize_t *written = PyMem_Realloc(self->written, room * sizeof(Py_ssize_t));
        if (written != NULL) {
            self->written = written;
        }
        if (entries == NULL || written == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->room = room;
    }
    self->entries[self->size] = (Entry){0};
    return self->size++;
}

PyDoc_STRVAR(watch_doc,
"watch(namespace: dict, token: object) -> bool\n\n"
"Log every write to this dict from now on; token stands for it in drain(). False: it is logged already.");

static PyObject *
Log_watch(Log *self, PyObject *args)
{
    PyObject *dict, *token;
    if (!PyArg_ParseTuple(args, "O!O", &PyDict_Type, &dict, &token)) {
        return NULL;
    }
    if (!self->is_active) {
        PyErr_SetString(PyExc_RuntimeError, "this log is stopped");
        return NULL;
    }
    if (entry_of(self, dict) != NULL) {
        Py_RETURN_FALSE;
    }
    Py_ssize_t at = PyErr_Occurred() ? -1 : unused_entry(self);
    if (at < 0) {
        return NULL;
    }
    PyObject *address = PyLong_FromVoidPtr(dict), *index = PyLong_FromSsize_t(at);
    int failed = address == NULL || index == NULL || PyDict_Watch(watcher_id, dict) < 0
        || PyDict_SetItem(self->indices, address, index) < 0;
    if (!failed) {
        Entry *entry = &self->entries[at];
        entry->dict = dict;
        entry->token = Py_NewRef(token);
        entry->is_mixed = is_mixed(dict);
    }
    Py_XDECREF(address);
    Py_XDECREF(index);
    if (failed) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

/* (code, lasti, ...) -> (code, line, ...) */
static PyObject *
with_lines(PyObject *stack)
{
    Py_ssize_t n = PyTuple_GET_SIZE(stack);
    PyObject *result = PyTuple_New(n);
    for (Py_ssize_t i = 0; result != NULL && i < n; i += 2) {
        PyObject *code = PyTuple_GET_ITEM(stack, i);
        int lasti = (int)PyLong_AsLong(PyTuple_GET_ITEM(stack, i + 1));
        PyObject *line = PyLong_FromLong(PyCode_Addr2Line((PyCodeObject *)code, lasti));
        if (line == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyTuple_SET_ITEM(result, i, Py_NewRef(code));
        PyTuple_SET_ITEM(result, i + 1, line);
    }
    return result;
}

/* Append (token, key, old, new, stack) for every pending key that holds another object than before. */
static int
drain_entry(Log *self, Entry *entry, PyObject *pending, PyObject *result)
{
    PyObject *key, *record;
    Py_ssize_t position = 0;
    while (PyDict_Next(pending, &position, &key, &record)) {
        PyObject *old = PyList_GET_ITEM(record, 0);
        PyObject *new = value_of(entry, key);
        if (new == NULL) {
            if (PyErr_Occurred()) {
                return -1;
            }
            new = self->missing;
        }
        if (new == old) {
            continue;
        }
        PyObject *stack = with_lines(PyList_GET_ITEM(record, 1));
        if (stack == NULL) {
            return -1;
        }
        PyObject *row = PyTuple_Pack(5, entry->token, key, old, new, stack);
        Py_DECREF(stack);
        if (row == NULL) {
            return -1;
        }
        int failed = PyList_Append(result, row);
        Py_DECREF(row);
        if (failed) {
            return -1;
        }
    }
    return 0;
}

PyDoc_STRVAR(drain_doc,
"drain() -> list of (token, key, old, new, stack)\n\n"
"What has been written since the last call and is not back: old and new are objects or `missing`;\n"
"stack is (code, line, code, line, ...) of the last write, from the innermost frame to the nearest\n"
"frame of test code.");

static PyObject *
Log_drain(Log *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *result = PyList_New(0);
    if (result == NULL || !self->is_active || (self->written_size == 0 && PyList_GET_SIZE(self->dead) == 0)) {
        return result;
    }
    /* What was pending is released only at the end: destructors run user code, which may write. */
    PyObject *released = self->dead;
    self->dead = PyList_New(0);
    int failed = self->dead == NULL;
    if (failed) {
        self->dead = Py_NewRef(released);
    }
    Py_ssize_t count = self->written_size;
    self->written_size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        Entry *entry = &self->entries[self->written[i]];
        PyObject *pending = entry->pending;
        entry->pending = NULL;
        entry->is_written = 0;
        if (pending != NULL && !failed) {
            failed = PyList_Append(released, pending) < 0 || drain_entry(self, entry, pending, result) < 0;
        }
        Py_XDECREF(pending);
    }
    Py_DECREF(released);
    if (failed) {
        Py_DECREF(result);
        return NULL;
    }
    return result;
}

PyDoc_STRVAR(rest_doc,
"rest() -> None\n\nUntil wake(), let writes pass unnoticed; what was not drained is forgotten.");

static PyObject *
Log_rest(Log *self, PyObject *Py_UNUSED(ignored))
{
    self->is_resting = 1;  /* first: what a drain releases may write */
    if (self->written_size > 0) {
        PyObject *rows = Log_drain(self, NULL);
        if (rows == NULL) {
            return NULL;
        }
        Py_DECREF(rows);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wake_doc, "wake() -> None\n\nLog writes again.");

static PyObject *
Log_wake(Log *self, PyObject *Py_UNUSED(ignored))
{
    self->is_resting = 0;
    Py_RETURN_NONE;
}

/* Release everything that is held for dicts. */
static void
forget_all(Log *self)
{
    Entry *entries = self->entries;
    Py_ssize_t *written = self->written, size = self->size;
    PyObject *indices = self->indices, *dead = self->dead;
    self->entries = NULL;  /* destructors run user code: it must meet nothing half gone */
    self->written = NULL;
    self->indices = self->dead = NULL;
    self->size = self->room = self->written_size = 0;
    self->free = -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_XDECREF(entries[i].token);
        Py_XDECREF(entries[i].pending);
    }
    PyMem_Free(entries);
    PyMem_Free(written);
    Py_XDECREF(indices);
    Py_XDECREF(dead);
}

PyDoc_STRVAR(stop_doc,
"stop() -> None\n\nStop watching and forget what was not drained; the last log to stop gives the watcher id back.\n"
"Stopping twice is fine.");

static PyObject *
Log_stop(Log *self, PyObject *Py_UNUSED(ignored))
{
    if (log_leave(self) < 0) {
        return NULL;
    }
    forget_all(self);
    Py_RETURN_NONE;
}

static Py_ssize_t
Log_length(Log *self)
{
    return self->indices == NULL ? 0 : PyDict_GET_SIZE(self->indices);
}

static int
Log_traverse(Log *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->files);
    Py_VISIT(self->quiet);
    Py_VISIT(self->outer);
    Py_VISIT(self->missing);
    Py_VISIT(self->indices);
    Py_VISIT(self->dead);
    for (Py_ssize_t i = 0; i < self->size; i++) {
        Py_VISIT(self->entries[i].token);
        Py_VISIT(self->entries[i].pending);
    }
    return 0;
}

static int
Log_clear(Log *self)
{
    if (log_leave(self) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    Py_CLEAR(self->files);
    Py_CLEAR(self->quiet);
    Py_CLEAR(self->outer);
    Py_CLEAR(self->missing);
    forget_all(self);
    return 0;
}

static void
Log_dealloc(Log *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Log_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

PyDoc_STRVAR(follows_doc, "follows(namespace: dict) -> bool\n\nWhether writes to this dict are logged.");

static PyObject *
Log_follows(Log *self, PyObject *dict)
{
    if (!self->is_active) {
        Py_RETURN_FALSE;
    }
    Entry *entry = entry_of(self, dict);
    return entry == NULL && PyErr_Occurred() ? NULL : PyBool_FromLong(entry != NULL);
}

static PyMethodDef Log_methods[] = {
    {"follows", (PyCFunction)Log_follows, METH_O, follows_doc},
    {"watch", (PyCFunction)Log_watch, METH_VARARGS, watch_doc},
    {"drain", (PyCFunction)Log_drain, METH_NOARGS, drain_doc},
    {"rest", (PyCFunction)Log_rest, METH_NOARGS, rest_doc},
    {"wake", (PyCFunction)Log_wake, METH_NOARGS, wake_doc},
    {"stop", (PyCFunction)Log_stop, METH_NOARGS, stop_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(accelerator_doc,
"Log(files: set[str], missing: object, quiet: set[str] = set(),\n"
"    outer: set[str] = set())\n\n"
"Writes to watched dicts, with the code that made them. Raises RuntimeError when the interpreter has no\n"
"dict watcher to spare.");

static PyType_Slot accelerator_slots[] = {
    {Py_tp_doc, (void *)accelerator_doc},
    {Py_tp_new, Log_new},
    {Py_tp_dealloc, Log_dealloc},
    {Py_tp_traverse, Log_traverse},
    {Py_tp_clear, Log_clear},
    {Py_tp_methods, Log_methods},
    {Py_mp_length, Log_length},
    {0, NULL},
};

static PyType_Spec accelerator_spec = {
    .name = "pytest_mcpsmoke.state._watch.Log",
    .basicsize = sizeof(Log),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = accelerator_slots,
};

#else  /* CPython 3.11 */

#define AHEAD 16  /* dicts fetched in advance */

typedef struct {
    PyObject_HEAD
    PyObject **dicts;    /* owned; NULL where discarded */
    PyObject **copies;   /* of the dicts as they were when last looked at */
    uint64_t *tags;      /* the versions that they had then */
    Py_ssize_t size, room;
} Versions;

static PyObject *
Versions_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "", names)) {
        return NULL;
    }
    return type->tp_alloc(type, 0);
}

PyDoc_STRVAR(add_doc,
"add(namespace: dict, copy: dict) -> int\n\n"
"Follow this dict, of which that is a copy, from now on, under the index that is returned.");

static int
make_room(Versions *self)
{
    if (self->size < self->room) {
        return 0;
    }
    Py_ssize_t room = self->room ? 2 * self->room : 1024;
    void **arrays[] = {(void **)&self->dicts, (void **)&self->copies, (void **)&self->tags};
    for (int i = 0; i < 3; i++) {
        void *larger = PyMem_Realloc(*arrays[i], room * sizeof(uint64_t));
        if (larger == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        *arrays[i] = larger;
    }
    self->room = room;
    return 0;
}

static PyObject *
Versions_add(Versions *self, PyObject *args)
{
    PyObject *dict, *copy;
    if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &dict, &PyDict_Type, &copy) || make_room(self) < 0) {
        return NULL;
    }
    PyObject *index = PyLong_FromSsize_t(self->size);
    if (index != NULL) {
        self->dicts[self->size] = Py_NewRef(dict);
        self->copies[self->size] = Py_NewRef(copy);
        self->tags[self->size] = ((PyDictObject *)dict)->ma_version_tag;
        self->size++;
    }
    return index;
}

/* Append (index, present copy) of a dict to a list; the old copy is left to the list `old`. */
static int
append_changed(Versions *self, Py_ssize_t i, PyObject *result, PyObject *old)
{
    PyObject *dict = Py_NewRef(self->dicts[i]);  /* a collection meanwhile may discard it */
    PyObject *copy = PyDict_Copy(dict);
    Py_DECREF(dict);
    if (copy != NULL && self->dicts[i] == NULL) {
        Py_DECREF(copy);
        return 0;
    }
    PyObject *row = copy == NULL ? NULL : Py_BuildValue("(nO)", i, copy);
    int failed = row == NULL || PyList_Append(result, row) < 0 || PyList_Append(old, self->copies[i]) < 0;
    Py_XDECREF(row);
    if (failed) {
        Py_XDECREF(copy);
        return -1;
    }
    Py_SETREF(self->copies[i], copy);
    return 0;
}

PyDoc_STRVAR(changed_doc,
"changed() -> list of (index, present copy)\n\n"
"The dicts that were written to since the last call and differ from their copies, which are renewed.");

static PyObject *
Versions_changed(Versions *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *result = PyList_New(0), *old = PyList_New(0);  /* old values are released last: by user code */
    int failed = result == NULL || old == NULL;
    for (Py_ssize_t i = 0; !failed && i < self->size; i++) {
        PyDictObject *dict = (PyDictObject *)self->dicts[i];
#ifdef __GNUC__
        if (i + AHEAD < self->size) {  /* thousands of dicts lie anywhere: waiting for each is the cost */
            __builtin_prefetch(&((PyDictObject *)self->dicts[i + AHEAD])->ma_version_tag);
        }
#endif
        if (dict == NULL || dict->ma_version_tag == self->tags[i]) {
            continue;
        }
        self->tags[i] = dict->ma_version_tag;
        if (!is_same((PyObject *)dict, self->copies[i])) {  /* else: written and put back */
            failed = append_changed(self, i, result, old) < 0;
        }
    }
    Py_XDECREF(old);
    if (failed) {
        Py_CLEAR(result);
    }
    return result;
}

PyDoc_STRVAR(discard_doc, "discard(index: int) -> None\n\nFollow the dict under this index no more.");

static PyObject *
Versions_discard(Versions *self, PyObject *arg)
{
    Py_ssize_t index = PyLong_AsSsize_t(arg);
    if (index == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (index < 0 || index >= self->size) {
        PyErr_SetString(PyExc_IndexError, "no such namespace");
        return NULL;
    }
    Py_CLEAR(self->dicts[index]);
    Py_CLEAR(self->copies[index]);
    Py_RETURN_NONE;
}

static int
Versions_traverse(Versions *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < self->size; i++) {
        Py_VISIT(self->dicts[i]);
        Py_VISIT(self->copies[i]);
    }
    return 0;
}

static int
Versions_clear(Versions *self)
{
    Py_ssize_t size = self->size;
    self->size = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_XDECREF(self->dicts[i]);
        Py_XDECREF(self->copies[i]);
    }
    return 0;
}

static void
Versions_dealloc(Versions *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Versions_clear(self);
    PyMem_Free(self->dicts);
    PyMem_Free(self->copies);
    PyMem_Free(self->tags);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef Versions_methods[] = {
    {"add", (PyCFunction)Versions_add, METH_VARARGS, add_doc},
    {"changed", (PyCFunction)Versions_changed, METH_NOARGS, changed_doc},
    {"discard", (PyCFunction)Versions_discard, METH_O, discard_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(accelerator_doc,
"Versions()\n\nVersion tags of dicts: which were written to since the last look. Holds the dicts and their copies.");

static PyType_Slot accelerator_slots[] = {
    {Py_tp_doc, (void *)accelerator_doc},
    {Py_tp_new, Versions_new},
    {Py_tp_dealloc, Versions_dealloc},
    {Py_tp_traverse, Versions_traverse},
    {Py_tp_clear, Versions_clear},
    {Py_tp_methods, Versions_methods},
    {0, NULL},
};

static PyType_Spec accelerator_spec = {
    .name = "pytest_mcpsmoke.state._watch.Versions",
    .basicsize = sizeof(Versions),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = accelerator_slots,
};

#endif

PyDoc_STRVAR(open_classes_doc,
"open_classes(namespace: dict) -> list of (class, its dict)\n\n"
"The values of a namespace that are classes whose attributes can be written, whatever they pretend to be.");

static PyObject *
open_classes(PyObject *Py_UNUSED(module), PyObject *namespace)
{
    if (!PyDict_Check(namespace)) {
        PyErr_SetString(PyExc_TypeError, "a namespace is a dict");
        return NULL;
    }
    PyObject *result = PyList_New(0);
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (result != NULL && PyDict_Next(namespace, &position, &key, &value)) {
        if (!PyType_Check(value) || (((PyTypeObject *)value)->tp_flags & Py_TPFLAGS_IMMUTABLETYPE)) {
            continue;
        }
#if PY_VERSION_HEX >= 0x030C0000
        PyObject *attributes = PyType_GetDict((PyTypeObject *)value);
#else
        PyObject *attributes = Py_XNewRef(((PyTypeObject *)value)->tp_dict);
#endif
        if (attributes == NULL || !PyDict_CheckExact(attributes)) {
            Py_XDECREF(attributes);
            continue;
        }
        PyObject *pair = PyTuple_Pack(2, value, attributes);
        Py_DECREF(attributes);
        if (pair == NULL || PyList_Append(result, pair) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(pair);
    }
    return result;
}

PyDoc_STRVAR(is_same_doc,
"is_same(namespace: dict, copy: dict) -> bool\n\n"
"Whether a dict holds the same objects under the same names, in the same order, as its copy.");

static PyObject *
is_same_of(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *namespace, *copy;
    if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &namespace, &PyDict_Type, &copy)) {
        return NULL;
    }
    return PyBool_FromLong(is_same(namespace, copy));
}

static PyMethodDef watch_functions[] = {
    {"is_same", is_same_of, METH_VARARGS, is_same_doc},
    {"open_classes", open_classes, METH_O, open_classes_doc},
    {NULL, NULL, 0, NULL},
};

static int
watch_exec(PyObject *module)
{
#ifdef Py_GIL_DISABLED
    PyErr_SetString(PyExc_ImportError, "the accelerator does not support free-threaded builds");
    return -1;
#else
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "the accelerator works in the main interpreter only");
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &accelerator_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
#endif
}

static PyModuleDef_Slot watch_slots[] = {
    {Py_mod_exec, watch_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef watch_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pytest_mcpsmoke.state._watch",
    .m_doc = "Namespace accelerator: see the head of _watch.c.",
    .m_methods = watch_functions,
    .m_slots = watch_slots,
};

PyMODINIT_FUNC
PyInit__watch(void)
{
    return PyModuleDef_Init(&watch_module);
}
