/* Functions: the plain functions of a program, tens of thousands of them, and whether one was changed.
 *
 * A function is plain when nothing hangs on it that could change by itself: no attributes, no closure, no
 * mutable default. It gets no node of its own (containers.py) until it changes.
 *
 * With dict watchers a function costs nothing until then: it is given the empty dict of attributes that it
 * would get when asked for it, and that is watched. What replaces its code or its defaults is an audited
 * event, of which touch() tells; is_told says whether it will. What nobody tells is compared.
 */
#include "parts.h"

typedef struct {
    PyObject *function;                    /* owned; NULL: a free row */
    PyObject *code, *defaults, *kwdefaults; /* owned, or NULL */
    PyObject *holder, *key;                /* owned: where it was found */
    Py_ssize_t next;                       /* of a free row: the next one, or -1 */
    int is_written;
} Row;

typedef struct {
    PyObject_HEAD
    Row *rows;
    Py_ssize_t size, room, free, held;
    Py_ssize_t *written;                   /* rows to look at; has room for all */
    Py_ssize_t written_size;
    Addresses indices;                     /* address of a function -> its row */
    Listener listener;
    int is_told;
} Functions;

static void
mark(Functions *self, Py_ssize_t index)
{
    if (!self->rows[index].is_written) {
        self->rows[index].is_written = 1;
        self->written[self->written_size++] = index;
    }
}

static void
note(void *owner, Py_ssize_t index, int Py_UNUSED(is_gone))
{
    mark(owner, index);
}

static PyObject *
Functions_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"is_told", NULL};
    int is_told = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p", names, &is_told)) {
        return NULL;
    }
    Functions *self = (Functions *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->free = -1;
        self->is_told = is_told;
        mcpsmoke_listener_open(&self->listener, self, note);
    }
    return (PyObject *)self;
}

/* Nothing in it can change. */
static int
is_atom(PyObject *value)
{
    if (PyTuple_CheckExact(value)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++) {
            if (PyTuple_CheckExact(PyTuple_GET_ITEM(value, i)) || !is_atom(PyTuple_GET_ITEM(value, i))) {
                return 0;
            }
        }
        return 1;
    }
    return value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) || PyUnicode_CheckExact(value)
        || PyFloat_CheckExact(value) || PyBytes_CheckExact(value) || value == Py_Ellipsis;
}

/* Neither state nor a way to it: texts, numbers, modules and classes (which are watched themselves), what is
 * compiled. */
static int
is_passed_over(PyObject *value)
{
    return is_atom(value) || PyModule_Check(value) || PyType_Check(value) || PyCFunction_CheckExact(value)
        || Py_IS_TYPE(value, &PyGetSetDescr_Type) || Py_IS_TYPE(value, &PyMemberDescr_Type)
        || Py_IS_TYPE(value, &PyWrapperDescr_Type) || Py_IS_TYPE(value, &PyMethodDescr_Type);
}

/* Whether the code names something, compared by identity: names are interned. */
static int
mentions(PyObject *code, PyObject *name)
{
    PyObject *names = ((PyCodeObject *)code)->co_names;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (PyTuple_GET_ITEM(names, i) == name) {
            return 1;
        }
    }
    return 0;
}

static int
has_attributes(PyFunctionObject *function)
{
    return function->func_dict != NULL && PyDict_GET_SIZE(function->func_dict) > 0;
}

static int
is_plain(PyObject *value, PyObject *module, PyObject *telling)
{
    PyFunctionObject *function = (PyFunctionObject *)value;
    PyObject *own = function->func_module;
    int is_own = own == module
        || (own != NULL && PyUnicode_CheckExact(own) && PyUnicode_Compare(own, module) == 0);
    return is_own && !has_attributes(function) && function->func_closure == NULL
        && (function->func_defaults == NULL || is_atom(function->func_defaults))
        && function->func_kwdefaults == NULL && !mentions(function->func_code, telling);
}

static int
make_room(Functions *self)
{
    if (self->free >= 0 || self->size < self->room) {
        return 0;
    }
    Py_ssize_t room = self->room ? 2 * self->room : 1024;
    Row *rows = PyMem_Realloc(self->rows, room * sizeof(Row));
    if (rows != NULL) {
        self->rows = rows;
    }
    Py_ssize_t *written = PyMem_Realloc(self->written, room * sizeof(Py_ssize_t));
    if (written != NULL) {
        self->written = written;
    }
    if (rows == NULL || written == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->room = room;
    return 0;
}

/* Have the attributes of a function watched, which it has to have for that. */
static int
watch_attributes(Functions *self, PyFunctionObject *function, Py_ssize_t index)
{
    if (!self->listener.is_open || !self->is_told) {
        return 0;  /* it is compared all the same */
    }
    if (function->func_dict == NULL) {
        function->func_dict = PyDict_New();
        if (function->func_dict == NULL) {
            return -1;
        }
    }
    return mcpsmoke_watch(&self->listener, function->func_dict, index);
}

static int
keep(Functions *self, PyObject *value, PyObject *holder, PyObject *key)
{
    if (make_room(self) < 0) {
        return -1;
    }
    Py_ssize_t index = self->free >= 0 ? self->free : self->size;
    PyFunctionObject *function = (PyFunctionObject *)value;
    if (addresses_add(&self->indices, value, index) < 0) {
        return -1;
    }
    if (watch_attributes(self, function, index) < 0) {
        addresses_remove(&self->indices, value);
        return -1;
    }
    int is_written = index < self->size && self->rows[index].is_written;  /* it is still in the list */
    if (index == self->free) {
        self->free = self->rows[index].next;
    }
    else {
        self->size++;
    }
    self->rows[index] = (Row){
        Py_NewRef(value), Py_NewRef(function->func_code), Py_XNewRef(function->func_defaults),
        Py_XNewRef(function->func_kwdefaults), Py_NewRef(holder), Py_NewRef(key), -1, is_written,
    };
    self->held++;
    return 0;
}

/* Free a row; hand what it held over to a list that is released later: destructors run user code. */
static int
let_go(Functions *self, Py_ssize_t index, PyObject *released)
{
    Row *row = &self->rows[index];
    PyObject *held[] = {row->function, row->code, row->defaults, row->kwdefaults, row->holder, row->key};
    addresses_remove(&self->indices, row->function);
    PyObject *attributes = ((PyFunctionObject *)row->function)->func_dict;
    if (attributes != NULL && addresses_find(&self->listener.values, attributes) != NULL) {
        mcpsmoke_unwatch(&self->listener, attributes);
    }
    row->function = NULL;
    row->next = self->free;
    self->free = index;
    self->held--;
    int failed = 0;
    for (int i = 0; i < 6; i++) {
        failed |= held[i] != NULL && PyList_Append(released, held[i]) < 0;
    }
    for (int i = 0; i < 6; i++) {
        Py_XDECREF(held[i]);
    }
    return failed ? -1 : 0;
}

PyDoc_STRVAR(take_doc,
"take(contents: dict, module: str, holder: object, telling: str) -> list of (key, value)\n\n"
"Keep the plain functions of this module that stand in a namespace. Returns what else is to be looked at:\n"
"all but numbers, texts, tuples of these, modules, classes and what is compiled. A function that mentions the\n"
"name `telling` (an interned one) is not plain.");

static PyObject *
Functions_take(Functions *self, PyObject *args)
{
    PyObject *contents, *module, *holder, *telling;
    if (!PyArg_ParseTuple(args, "O!UOU", &PyDict_Type, &contents, &module, &holder, &telling)) {
        return NULL;
    }
    PyObject *rest = PyList_New(0);
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (rest != NULL && PyDict_Next(contents, &position, &key, &value)) {
        if (!PyUnicode_CheckExact(key) || is_passed_over(value)) {
            continue;
        }
        if (PyFunction_Check(value) && addresses_find(&self->indices, value) != NULL) {
            continue;
        }
        if (PyFunction_Check(value) && is_plain(value, module, telling)) {
            if (keep(self, value, holder, key) < 0) {
                Py_CLEAR(rest);
            }
            continue;
        }
        PyObject *pair = PyTuple_Pack(2, key, value);
        if (pair == NULL || PyList_Append(rest, pair) < 0) {
            Py_CLEAR(rest);
        }
        Py_XDECREF(pair);
    }
    return rest;
}

static int
is_as_before(const Row *row)
{
    PyFunctionObject *function = (PyFunctionObject *)row->function;
    return !has_attributes(function) && function->func_code == row->code
        && function->func_defaults == row->defaults && function->func_kwdefaults == row->kwdefaults;
}

/* Append (function, holder, key, code, defaults, keyword defaults) to a list, and forget the function. */
static int
hand_over(Functions *self, Py_ssize_t index, PyObject *changed, PyObject *released)
{
    Row *row = &self->rows[index];
    PyObject *tuple = PyTuple_Pack(
        6, row->function, row->holder, row->key, row->code, row->defaults ? row->defaults : Py_None,
        row->kwdefaults ? row->kwdefaults : Py_None);
    int failed = tuple == NULL || PyList_Append(changed, tuple) < 0 || let_go(self, index, released) < 0;
    Py_XDECREF(tuple);
    return failed ? -1 : 0;
}

static int
hand_over_told(Functions *self, PyObject *changed, PyObject *released)
{
    Py_ssize_t count = self->written_size;
    Py_ssize_t *told = PyMem_Malloc((count + 1) * sizeof(Py_ssize_t));  /* more may be told meanwhile */
    if (told == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(told, self->written, count * sizeof(Py_ssize_t));
    self->written_size = 0;
    int failed = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        Row *row = &self->rows[told[i]];
        row->is_written = 0;
        if (row->function == NULL || failed) {
            continue;
        }
        if (!is_as_before(row)) {
            failed = hand_over(self, told[i], changed, released) < 0;
        }
        else {  /* its dict may be another one now */
            failed = watch_attributes(self, (PyFunctionObject *)row->function, told[i]) < 0;
        }
    }
    PyMem_Free(told);
    return failed ? -1 : 0;
}

static int
hand_over_all(Functions *self, PyObject *changed, PyObject *released)
{
    for (Py_ssize_t i = 0; i < self->size; i++) {
        const Row *row = &self->rows[i];
        if (row->function == NULL) {
            continue;
        }
        if (self->is_told ? !has_attributes((PyFunctionObject *)row->function) : is_as_before(row)) {
            continue;
        }
        if (hand_over(self, i, changed, released) < 0) {
            return -1;
        }
    }
    return 0;
}

PyDoc_STRVAR(changed_doc,
"changed(unseen: bool = True) -> list of (function, holder, key, code, defaults, keyword defaults)\n\n"
"The functions that are others now, each with where it was found and the parts that it had. They are kept\n"
"no more. unseen: look at those, too, of whose changes nobody tells.");

static PyObject *
Functions_changed(Functions *self, PyObject *args)
{
    int unseen = 1;
    if (!PyArg_ParseTuple(args, "|p", &unseen)) {
        return NULL;
    }
    PyObject *changed = PyList_New(0);
    int is_seen = self->listener.is_open && self->is_told;
    if (changed == NULL || (self->written_size == 0 && (is_seen || !unseen))) {
        return changed;
    }
    PyObject *released = PyList_New(0);
    if (released == NULL || hand_over_told(self, changed, released) < 0
            || (!is_seen && unseen && hand_over_all(self, changed, released) < 0)) {
        Py_CLEAR(changed);
    }
    Py_XDECREF(released);
    return changed;
}

static Py_ssize_t *
index_of(Functions *self, PyObject *function)
{
    return addresses_find(&self->indices, function);
}

PyDoc_STRVAR(touch_doc, "touch(object: object) -> None\n\nA part of this object is being replaced: look at it, if it is kept.");

static PyObject *
Functions_touch(Functions *self, PyObject *object)
{
    Py_ssize_t *index = index_of(self, object);
    if (index != NULL) {
        mark(self, *index);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(forget_doc,
"forget(function: object, holder: object) -> bool\n\nKeep a function of this holder no more; False: it was not kept.");

static PyObject *
Functions_forget(Functions *self, PyObject *args)
{
    PyObject *function, *holder;
    if (!PyArg_ParseTuple(args, "OO", &function, &holder)) {
        return NULL;
    }
    Py_ssize_t *index = index_of(self, function);
    if (index == NULL || self->rows[*index].holder != holder) {
        Py_RETURN_FALSE;
    }
    PyObject *released = PyList_New(0);
    int failed = released == NULL || let_go(self, *index, released) < 0;
    Py_XDECREF(released);
    if (failed) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(forget_all_doc, "forget_all(holder: object) -> None\n\nKeep no function of this holder any more.");

static PyObject *
Functions_forget_all(Functions *self, PyObject *holder)
{
    PyObject *released = PyList_New(0);
    int failed = released == NULL;
    for (Py_ssize_t i = 0; !failed && i < self->size; i++) {
        if (self->rows[i].function != NULL && self->rows[i].holder == holder) {
            failed = let_go(self, i, released) < 0;
        }
    }
    Py_XDECREF(released);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
Functions_contains(Functions *self, PyObject *object)
{
    return index_of(self, object) != NULL;
}

static Py_ssize_t
Functions_length(Functions *self)
{
    return self->held;
}

static int
Functions_traverse(Functions *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < self->size; i++) {
        if (self->rows[i].function != NULL) {  /* code and names are no containers that could form a cycle */
            Py_VISIT(self->rows[i].function);
            Py_VISIT(self->rows[i].defaults);
            Py_VISIT(self->rows[i].kwdefaults);
            Py_VISIT(self->rows[i].holder);
        }
    }
    return 0;
}

static int
Functions_clear(Functions *self)
{
    mcpsmoke_listener_close(&self->listener);
    Row *rows = self->rows;
    Py_ssize_t size = self->size;
    addresses_clear(&self->indices);
    PyMem_Free(self->written);
    self->rows = NULL;  /* destructors run user code: it must meet nothing half gone */
    self->written = NULL;
    self->size = self->room = self->held = self->written_size = 0;
    self->free = -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (rows[i].function != NULL) {
            Py_DECREF(rows[i].function);
            Py_DECREF(rows[i].code);
            Py_XDECREF(rows[i].defaults);
            Py_XDECREF(rows[i].kwdefaults);
            Py_DECREF(rows[i].holder);
            Py_DECREF(rows[i].key);
        }
    }
    PyMem_Free(rows);
    return 0;
}

static void
Functions_dealloc(Functions *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Functions_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef functions_methods[] = {
    {"take", (PyCFunction)Functions_take, METH_VARARGS, take_doc},
    {"changed", (PyCFunction)Functions_changed, METH_VARARGS, changed_doc},
    {"touch", (PyCFunction)Functions_touch, METH_O, touch_doc},
    {"forget", (PyCFunction)Functions_forget, METH_VARARGS, forget_doc},
    {"forget_all", (PyCFunction)Functions_forget_all, METH_O, forget_all_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(functions_doc,
"Functions(is_told: bool = False)\n\n"
"The plain functions of a program. is_told: touch() will tell when code or defaults of one are replaced.");

static PyType_Slot functions_slots[] = {
    {Py_tp_doc, (void *)functions_doc},
    {Py_tp_new, Functions_new},
    {Py_tp_dealloc, Functions_dealloc},
    {Py_tp_traverse, Functions_traverse},
    {Py_tp_clear, Functions_clear},
    {Py_tp_methods, functions_methods},
    {Py_mp_length, Functions_length},
    {Py_sq_contains, Functions_contains},
    {0, NULL},
};

PyType_Spec mcpsmoke_functions_spec = {
    .name = "pytest_mcpsmoke.state._parts.Functions",
    .basicsize = sizeof(Functions),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = functions_slots,
};
