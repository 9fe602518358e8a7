/* Parts accelerator: whether objects hold the same parts as before, without running any of their code.
 *
 * Comparer keeps, for each object, the parts that it had: a tuple of keys (None for a list) and one of values.
 * It compares them by identity, through the memory of the built-in types: no key is hashed, no attribute is
 * asked for. What kind of object it is has been found out by Python (readers.py).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { LIST, DICT, ATTRIBUTES, CELL, FUNCTION };  /* as in readers.py */

typedef struct {
    PyObject *object;    /* owned; NULL: a row that was discarded */
    PyObject *keys;      /* owned: a tuple or None */
    PyObject *values;    /* owned: a tuple */
    Py_ssize_t next;     /* of a discarded row: the next one of them, or -1 */
    int kind;
} Row;

typedef struct {
    PyObject_HEAD
    Row *rows;
    Py_ssize_t size, room, free;
} Comparer;

/* The attributes of an instance, a new reference; an empty dict when it has none, NULL with an error set. */
static PyObject *
attributes_of(PyObject *object)
{
    if (PyFunction_Check(object)) {  /* asked for in the usual way, its dict would be made */
        PyObject *attributes = ((PyFunctionObject *)object)->func_dict;
        return attributes == NULL ? PyDict_New() : Py_NewRef(attributes);
    }
    if (PyType_Check(object) || PyModule_Check(object)) {
        return PyDict_New();
    }
    PyObject *attributes = PyObject_GenericGetDict(object, NULL);
    if (attributes == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return PyDict_New();
    }
    if (attributes != NULL && !PyDict_Check(attributes)) {
        Py_SETREF(attributes, PyDict_New());
    }
    return attributes;
}

/* Whether the items of a dict are those of the tuples, from the index `first` on. */
static int
dict_is_as(PyObject *dict, PyObject *keys, PyObject *values, Py_ssize_t first)
{
    if (PyDict_GET_SIZE(dict) != PyTuple_GET_SIZE(values) - first) {
        return 0;
    }
    PyObject *key, *value;
    Py_ssize_t position = 0, at = first;
    while (PyDict_Next(dict, &position, &key, &value)) {
        if (key != PyTuple_GET_ITEM(keys, at) || value != PyTuple_GET_ITEM(values, at)) {
            return 0;
        }
        at++;
    }
    return 1;
}

static int
list_is_as(PyObject *list, PyObject *values)
{
    Py_ssize_t size = PyList_GET_SIZE(list);
    if (size != PyTuple_GET_SIZE(values)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if (PyList_GET_ITEM(list, i) != PyTuple_GET_ITEM(values, i)) {
            return 0;
        }
    }
    return 1;
}

static int
function_is_as(PyObject *object, PyObject *values)
{
    PyFunctionObject *function = (PyFunctionObject *)object;
    PyObject *attributes = function->func_dict;
    if (attributes != NULL && PyDict_GET_SIZE(attributes) == 0) {
        attributes = NULL;  /* an empty one is as good as none */
    }
    PyObject *now[] = {function->func_code, function->func_defaults, function->func_kwdefaults, attributes};
    for (Py_ssize_t i = 0; i < 4; i++) {
        if ((now[i] == NULL ? Py_None : now[i]) != PyTuple_GET_ITEM(values, i)) {
            return 0;
        }
    }
    return 1;
}

/* 1: the parts are those of the row, 0: they are not, -1: an error is set. */
static int
is_as_before(Row *row)
{
    PyObject *object = row->object, *keys = row->keys, *values = row->values;
    switch (row->kind) {
    case LIST:
        return list_is_as(object, values);
    case DICT:
        return dict_is_as(object, keys, values, 0);
    case CELL:
        return PyTuple_GET_SIZE(values) == (PyCell_GET(object) != NULL)
            && (PyCell_GET(object) == NULL || PyCell_GET(object) == PyTuple_GET_ITEM(values, 0));
    case FUNCTION:
        return function_is_as(object, values);
    default:
        if ((PyObject *)Py_TYPE(object) != PyTuple_GET_ITEM(values, 0)) {
            return 0;
        }
        PyObject *attributes = attributes_of(object);
        if (attributes == NULL) {
            return -1;
        }
        int same = dict_is_as(attributes, keys, values, 1);
        Py_DECREF(attributes);
        return same;
    }
}

static int
fits(int kind, PyObject *object, PyObject *keys, PyObject *values)
{
    Py_ssize_t size = PyTuple_GET_SIZE(values);
    int is_keyed = PyTuple_Check(keys) && PyTuple_GET_SIZE(keys) == size;
    switch (kind) {
    case LIST:
        return PyList_Check(object);
    case DICT:
        return PyDict_Check(object) && is_keyed;
    case ATTRIBUTES:
        return is_keyed && size >= 1;
    case CELL:
        return PyCell_Check(object) && size <= 1;
    case FUNCTION:
        return PyFunction_Check(object) && size == 4;
    default:
        return 0;
    }
}

static PyObject *
Comparer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "", names)) {
        return NULL;
    }
    Comparer *self = (Comparer *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->free = -1;
    }
    return (PyObject *)self;
}

static Py_ssize_t
take_row(Comparer *self)
{
    if (self->free >= 0) {
        Py_ssize_t index = self->free;
        self->free = self->rows[index].next;
        return index;
    }
    if (self->size == self->room) {
        Py_ssize_t room = self->room ? 2 * self->room : 1024;
        Row *larger = PyMem_Realloc(self->rows, room * sizeof(Row));
        if (larger == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->rows = larger;
        self->room = room;
    }
    return self->size++;
}

PyDoc_STRVAR(add_doc,
"add(kind: int, object: object, keys: tuple | None, values: tuple, reader: object) -> int\n\n"
"Compare this object with these parts from now on; returns the index of its row. Raises TypeError when\n"
"object or parts are not of the kind.");

static PyObject *
Comparer_add(Comparer *self, PyObject *args)
{
    int kind;
    PyObject *object, *keys, *values, *reader;
    if (!PyArg_ParseTuple(args, "iOOO!O", &kind, &object, &keys, &PyTuple_Type, &values, &reader)) {
        return NULL;
    }
    if (!fits(kind, object, keys, values)) {
        PyErr_SetString(PyExc_TypeError, "object or parts are not of this kind");
        return NULL;
    }
    Py_ssize_t index = take_row(self);
    if (index < 0) {
        return NULL;
    }
    Row row = {Py_NewRef(object), Py_NewRef(keys), Py_NewRef(values), -1, kind};
    self->rows[index] = row;
    return PyLong_FromSsize_t(index);
}

/* The row under an index, or NULL with IndexError set. */
static Row *
row_at(Comparer *self, Py_ssize_t index)
{
    if (index < 0 || index >= self->size || self->rows[index].object == NULL) {
        PyErr_SetString(PyExc_IndexError, "no such row");
        return NULL;
    }
    return &self->rows[index];
}

PyDoc_STRVAR(update_doc,
"update(index: int, keys: tuple | None, values: tuple) -> None\n\nCompare with these parts from now on.");

static PyObject *
Comparer_update(Comparer *self, PyObject *args)
{
    Py_ssize_t index;
    PyObject *keys, *values;
    if (!PyArg_ParseTuple(args, "nOO!", &index, &keys, &PyTuple_Type, &values)) {
        return NULL;
    }
    Row *row = row_at(self, index);
    if (row == NULL) {
        return NULL;
    }
    if (!fits(row->kind, row->object, keys, values)) {
        PyErr_SetString(PyExc_TypeError, "the parts are not of this kind");
        return NULL;
    }
    PyObject *old_keys = row->keys, *old_values = row->values;
    row->keys = Py_NewRef(keys);
    row->values = Py_NewRef(values);
    Py_DECREF(old_keys);  /* what dies with them may run code that comes back here */
    Py_DECREF(old_values);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(discard_doc, "discard(index: int) -> None\n\nCompare this row no more, and hold it no more.");

static PyObject *
Comparer_discard(Comparer *self, PyObject *arg)
{
    Py_ssize_t index = PyLong_AsSsize_t(arg);
    if (index == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Row *row = row_at(self, index);
    if (row == NULL) {
        return NULL;
    }
    Row old = *row;
    row->object = row->keys = row->values = NULL;
    row->next = self->free;
    self->free = index;
    Py_DECREF(old.object);
    Py_DECREF(old.keys);
    Py_DECREF(old.values);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(changed_doc, "changed() -> list of int\n\nThe rows whose objects hold other parts now.");

static PyObject *
Comparer_changed(Comparer *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *result = PyList_New(0);
    for (Py_ssize_t i = 0; result != NULL && i < self->size; i++) {
        if (self->rows[i].object == NULL) {
            continue;
        }
        int same = is_as_before(&self->rows[i]);
        if (same > 0) {
            continue;
        }
        PyObject *index = same < 0 ? NULL : PyLong_FromSsize_t(i);
        if (index == NULL || PyList_Append(result, index) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(index);
    }
    return result;
}

static int
Comparer_traverse(Comparer *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < self->size; i++) {
        Py_VISIT(self->rows[i].object);
        Py_VISIT(self->rows[i].keys);
        Py_VISIT(self->rows[i].values);
    }
    return 0;
}

static int
Comparer_clear(Comparer *self)
{
    Row *rows = self->rows;
    Py_ssize_t size = self->size;
    self->rows = NULL;
    self->size = self->room = 0;
    self->free = -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_XDECREF(rows[i].object);
        Py_XDECREF(rows[i].keys);
        Py_XDECREF(rows[i].values);
    }
    PyMem_Free(rows);
    return 0;
}

static void
Comparer_dealloc(Comparer *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Comparer_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef Comparer_methods[] = {
    {"add", (PyCFunction)Comparer_add, METH_VARARGS, add_doc},
    {"update", (PyCFunction)Comparer_update, METH_VARARGS, update_doc},
    {"discard", (PyCFunction)Comparer_discard, METH_O, discard_doc},
    {"changed", (PyCFunction)Comparer_changed, METH_NOARGS, changed_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(comparer_doc, "Comparer()\n\nObjects, and the parts that they had when they were last read.");

static PyType_Slot comparer_slots[] = {
    {Py_tp_doc, (void *)comparer_doc},
    {Py_tp_new, Comparer_new},
    {Py_tp_dealloc, Comparer_dealloc},
    {Py_tp_traverse, Comparer_traverse},
    {Py_tp_clear, Comparer_clear},
    {Py_tp_methods, Comparer_methods},
    {0, NULL},
};

static PyType_Spec comparer_spec = {
    .name = "pytest_mcpsmoke.state._parts.Comparer",
    .basicsize = sizeof(Comparer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = comparer_slots,
};

PyDoc_STRVAR(attributes_of_doc,
"attributes_of(object: object) -> dict\n\nThe attributes of an instance; an empty dict for what has none.");

static PyObject *
attributes_of_object(PyObject *Py_UNUSED(module), PyObject *object)
{
    return attributes_of(object);
}

PyDoc_STRVAR(identities_doc,
"identities(namespace: dict) -> bytes\n\nThe addresses of the values of a dict, in order: equal when they are the same objects.");

static PyObject *
identities(PyObject *Py_UNUSED(module), PyObject *dict)
{
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "a namespace is a dict");
        return NULL;
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, PyDict_GET_SIZE(dict) * (Py_ssize_t)sizeof(PyObject *));
    if (result == NULL) {
        return NULL;
    }
    PyObject **at = (PyObject **)PyBytes_AS_STRING(result);
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value)) {
        memcpy(at++, &value, sizeof(PyObject *));
    }
    return result;
}

static PyMethodDef parts_functions[] = {
    {"identities", identities, METH_O, identities_doc},
    {"attributes_of", attributes_of_object, METH_O, attributes_of_doc},
    {NULL, NULL, 0, NULL},
};

static int
parts_exec(PyObject *module)
{
#ifdef Py_GIL_DISABLED
    PyErr_SetString(PyExc_ImportError, "the accelerator does not support free-threaded builds");
    return -1;
#else
    PyObject *type = PyType_FromModuleAndSpec(module, &comparer_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
#endif
}

static PyModuleDef_Slot parts_slots[] = {
    {Py_mod_exec, parts_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef parts_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pytest_mcpsmoke.state._parts",
    .m_doc = "Parts accelerator: see the head of _parts.c.",
    .m_methods = parts_functions,
    .m_slots = parts_slots,
};

PyMODINIT_FUNC
PyInit__parts(void)
{
    return PyModuleDef_Init(&parts_module);
}
