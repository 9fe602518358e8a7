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
 * One watcher id serves the whole process, however many Logs are active (a pytest run inside a pytest run).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX >= 0x030C0000

#define MAX_FRAMES 32  /* innermost frames kept per write; the nearest test frame is kept whatever its depth */
#define MAX_LOGS 16

typedef struct {
    PyObject_HEAD
    PyObject *files;    /* set of str: file names whose code counts as test code; shared with Python */
    PyObject *quiet;    /* set of str: file names whose code writes for itself: its frame is enough */
    PyObject *outer;    /* set of str: file names at which the way out ends; beyond them is no test code */
    PyObject *missing;  /* stands for "no value" */
    PyObject *entries;  /* dict: address of a watched dict -> [token, pending or None, address or None, mixed]
                           mixed: the dict may hold keys that are not exactly str */
    PyObject *written;  /* list of the entries with something pending */
    PyObject *dead;     /* what a dying dict left behind: released by drain(), never in the callback */
    int active;
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
            is_last = PySet_Contains(log->files, code->co_filename);
            is_last = is_last ? is_last : PySet_Contains(n ? log->outer : log->quiet, code->co_filename);
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

/* Return the value under an exact string: borrowed, NULL when absent or, with an error set, on failure. */
static PyObject *
value_of(PyObject *entry, PyObject *dict, PyObject *key)
{
    if (PyList_GET_ITEM(entry, 3) == Py_False) {
        return PyDict_GetItemWithError(dict, key);
    }
    PyObject *other, *value;  /* a lookup could run the __eq__ of a key */
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &other, &value)) {
        if (PyUnicode_Check(other) && PyUnicode_Compare(other, key) == 0) {
            return value;
        }
    }
    return NULL;
}

/* Note that the exact string `key` of the dict behind `entry` is about to change from `old` (NULL: absent). */
static int
note_text(Log *log, PyObject *entry, PyObject *key, PyObject *old, PyObject *stack)
{
    PyObject *pending = PyList_GET_ITEM(entry, 1);
    if (pending == Py_None) {
        pending = PyDict_New();
        if (pending == NULL) {
            return -1;
        }
        if (PyList_SetItem(entry, 1, pending) < 0 || PyList_Append(log->written, entry) < 0) {
            return -1;
        }
    }
    PyObject *record = PyDict_GetItemWithError(pending, key);
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
    int failed = PyDict_SetItem(pending, key, record);
    Py_DECREF(record);
    return failed;
}

/* Note a write to a key of any type: it counts when it is text. */
static int
note_write(Log *log, PyObject *entry, PyObject *dict, PyObject *key, PyObject *stack)
{
    if (!PyUnicode_CheckExact(key) && PyList_SetItem(entry, 3, Py_NewRef(Py_True)) < 0) {
        return -1;
    }
    if (!PyUnicode_Check(key)) {
        return 0;
    }
    PyObject *text = PyUnicode_FromObject(key);
    if (text == NULL) {
        return -1;
    }
    PyObject *old = value_of(entry, dict, text);
    int failed = (old == NULL && PyErr_Occurred()) ? -1 : note_text(log, entry, text, old, stack);
    Py_DECREF(text);
    return failed;
}

/* A dict is emptied, or an empty one is filled at one go: every key of `all` is written. */
static int
note_all(Log *log, PyObject *entry, PyObject *dict, PyObject *all, PyObject *stack)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(all, &position, &key, &value)) {
        if (note_write(log, entry, dict, key, stack) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
note_event(Log *log, PyDict_WatchEvent event, PyObject *dict, PyObject *key)
{
    PyObject *address = PyLong_FromVoidPtr(dict);
    if (address == NULL) {
        return -1;
    }
    PyObject *entry = PyDict_GetItemWithError(log->entries, address);  /* borrowed */
    if (entry == NULL) {
        Py_DECREF(address);
        return PyErr_Occurred() ? -1 : 0;
    }
    int failed = 0;
    if (event == PyDict_EVENT_DEALLOCATED) {
        failed = PyList_Append(log->dead, entry) < 0
            || PyList_SetItem(entry, 2, Py_NewRef(Py_None)) < 0
            || PyDict_DelItem(log->entries, address) < 0;
        Py_DECREF(address);
        return failed ? -1 : 0;
    }
    Py_DECREF(address);
    PyObject *stack = stack_of_writer(log);
    if (stack == NULL) {
        return -1;
    }
    if (event == PyDict_EVENT_CLEARED) {
        failed = note_all(log, entry, dict, dict, stack);
    }
    else if (event == PyDict_EVENT_CLONED) {
        failed = note_all(log, entry, dict, key, stack);
    }
    else {
        failed = note_write(log, entry, dict, key, stack);
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
is_watched_by_another(Log *self, PyObject *address)
{
    for (int i = 0; i < log_count; i++) {
        if (logs[i] != self && PyDict_Contains(logs[i]->entries, address) > 0) {
            return 1;
        }
    }
    return 0;
}

/* Leave every dict and, as the last Log, the watcher id. Called from stop() and from the destructor. */
static int
log_leave(Log *self)
{
    if (!self->active) {
        return 0;
    }
    self->active = 0;
    int kept = 0;
    for (int i = 0; i < log_count; i++) {
        if (logs[i] != self) {
            logs[kept++] = logs[i];
        }
    }
    log_count = kept;
    PyObject *address, *entry;
    Py_ssize_t position = 0;
    while (PyDict_Next(self->entries, &position, &address, &entry)) {
        if (!is_watched_by_another(self, address)) {
            if (PyDict_Unwatch(watcher_id, PyLong_AsVoidPtr(address)) < 0) {
                return -1;
            }
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
    self->entries = PyDict_New();
    self->written = PyList_New(0);
    self->dead = PyList_New(0);
    if (self->quiet == NULL || self->outer == NULL || self->entries == NULL || self->written == NULL || self->dead == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->active = 1;
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
    if (!self->active) {
        PyErr_SetString(PyExc_RuntimeError, "this log is stopped");
        return NULL;
    }
    PyObject *address = PyLong_FromVoidPtr(dict);
    if (address != NULL && PyDict_Contains(self->entries, address) > 0) {
        Py_DECREF(address);
        Py_RETURN_FALSE;
    }
    PyObject *entry = PyList_New(4);
    if (address == NULL || entry == NULL) {
        Py_XDECREF(address);
        Py_XDECREF(entry);
        return NULL;
    }
    PyList_SET_ITEM(entry, 0, Py_NewRef(token));
    PyList_SET_ITEM(entry, 1, Py_NewRef(Py_None));
    PyList_SET_ITEM(entry, 2, Py_NewRef(address));
    PyList_SET_ITEM(entry, 3, Py_NewRef(is_mixed(dict) ? Py_True : Py_False));
    int failed = PyDict_SetItem(self->entries, address, entry) < 0 || PyDict_Watch(watcher_id, dict) < 0;
    Py_DECREF(address);
    Py_DECREF(entry);
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

/* Append (token, key, old, new, stack) for every key of this entry that holds another object than before. */
static int
drain_entry(Log *self, PyObject *entry, PyObject *result)
{
    PyObject *address = PyList_GET_ITEM(entry, 2);
    if (address == Py_None) {
        return 0;  /* the dict died meanwhile */
    }
    PyObject *dict = PyLong_AsVoidPtr(address);
    PyObject *pending = PyList_GET_ITEM(entry, 1);
    PyObject *key, *record;
    Py_ssize_t position = 0;
    while (PyDict_Next(pending, &position, &key, &record)) {
        PyObject *old = PyList_GET_ITEM(record, 0);
        PyObject *new = value_of(entry, dict, key);
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
        PyObject *row = PyTuple_Pack(5, PyList_GET_ITEM(entry, 0), key, old, new, stack);
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
    if (result == NULL || (PyList_GET_SIZE(self->written) == 0 && PyList_GET_SIZE(self->dead) == 0)) {
        return result;
    }
    PyObject *written = self->written, *dead = self->dead;
    PyObject *next_written = PyList_New(0), *next_dead = PyList_New(0);
    if (next_written == NULL || next_dead == NULL) {
        Py_XDECREF(next_written);
        Py_XDECREF(next_dead);
        Py_DECREF(result);
        return NULL;
    }
    self->written = next_written;
    self->dead = next_dead;
    int failed = 0;
    for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(written); i++) {
        failed = drain_entry(self, PyList_GET_ITEM(written, i), result);
    }
    /* Only now may what the pending records held be released: destructors run user code, which may write. */
    PyObject *released = PyList_New(0);
    for (Py_ssize_t i = 0; !failed && released != NULL && i < PyList_GET_SIZE(written); i++) {
        PyObject *entry = PyList_GET_ITEM(written, i);
        failed = PyList_Append(released, PyList_GET_ITEM(entry, 1)) < 0
            || PyList_SetItem(entry, 1, Py_NewRef(Py_None)) < 0;
    }
    failed = failed || released == NULL;
    Py_DECREF(written);
    Py_DECREF(dead);
    Py_XDECREF(released);
    if (failed) {
        Py_DECREF(result);
        return NULL;
    }
    return result;
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
    PyDict_Clear(self->entries);
    if (PyList_SetSlice(self->written, 0, PY_SSIZE_T_MAX, NULL) < 0
        || PyList_SetSlice(self->dead, 0, PY_SSIZE_T_MAX, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static Py_ssize_t
Log_length(Log *self)
{
    return PyDict_GET_SIZE(self->entries);
}

static int
Log_traverse(Log *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->files);
    Py_VISIT(self->quiet);
    Py_VISIT(self->outer);
    Py_VISIT(self->missing);
    Py_VISIT(self->entries);
    Py_VISIT(self->written);
    Py_VISIT(self->dead);
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
    Py_CLEAR(self->entries);
    Py_CLEAR(self->written);
    Py_CLEAR(self->dead);
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
    PyObject *address = PyLong_FromVoidPtr(dict);
    if (address == NULL) {
        return NULL;
    }
    int found = PyDict_Contains(self->entries, address);
    Py_DECREF(address);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyMethodDef Log_methods[] = {
    {"follows", (PyCFunction)Log_follows, METH_O, follows_doc},
    {"watch", (PyCFunction)Log_watch, METH_VARARGS, watch_doc},
    {"drain", (PyCFunction)Log_drain, METH_NOARGS, drain_doc},
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

typedef struct {
    PyObject_HEAD
    PyObject **dicts;    /* owned; NULL where discarded */
    uint64_t *tags;      /* last version seen */
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
"add(namespace: dict) -> int\n\nFollow this dict from now on, under the index that is returned.");

static PyObject *
Versions_add(Versions *self, PyObject *dict)
{
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "a namespace is a dict");
        return NULL;
    }
    if (self->size == self->room) {
        Py_ssize_t room = self->room ? 2 * self->room : 1024;
        PyObject **dicts = PyMem_Realloc(self->dicts, room * sizeof(PyObject *));
        if (dicts != NULL) {
            self->dicts = dicts;
        }
        uint64_t *tags = PyMem_Realloc(self->tags, room * sizeof(uint64_t));
        if (tags != NULL) {
            self->tags = tags;
        }
        if (dicts == NULL || tags == NULL) {
            return PyErr_NoMemory();
        }
        self->room = room;
    }
    PyObject *index = PyLong_FromSsize_t(self->size);
    if (index != NULL) {
        self->dicts[self->size] = Py_NewRef(dict);
        self->tags[self->size] = ((PyDictObject *)dict)->ma_version_tag;
        self->size++;
    }
    return index;
}

PyDoc_STRVAR(changed_doc,
"changed() -> list[int]\n\nIndices of the dicts that were written to since the last call.");

static PyObject *
Versions_changed(Versions *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *result = PyList_New(0);
    for (Py_ssize_t i = 0; result != NULL && i < self->size; i++) {
        PyDictObject *dict = (PyDictObject *)self->dicts[i];
        if (dict == NULL || dict->ma_version_tag == self->tags[i]) {
            continue;
        }
        self->tags[i] = dict->ma_version_tag;
        PyObject *index = PyLong_FromSsize_t(i);
        if (index == NULL || PyList_Append(result, index) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(index);
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
    PyObject *dict = self->dicts[index];
    self->dicts[index] = NULL;
    Py_XDECREF(dict);
    Py_RETURN_NONE;
}

static int
Versions_traverse(Versions *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < self->size; i++) {
        Py_VISIT(self->dicts[i]);
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
    PyMem_Free(self->tags);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef Versions_methods[] = {
    {"add", (PyCFunction)Versions_add, METH_O, add_doc},
    {"changed", (PyCFunction)Versions_changed, METH_NOARGS, changed_doc},
    {"discard", (PyCFunction)Versions_discard, METH_O, discard_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(accelerator_doc,
"Versions()\n\nVersion tags of dicts: which were written to since the last look. Holds the dicts.");

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

static PyMethodDef watch_functions[] = {
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
