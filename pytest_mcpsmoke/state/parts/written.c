/* Written: whether a dict has been written to since the last question. */
#include "parts.h"

typedef struct {
    PyObject_HEAD
    PyObject *dict;      /* owned */
    Listener listener;
    uint64_t tag;        /* of the dict, when it was last looked at (3.11) */
    int is_watched, is_written;
} Written;

static void
note(void *owner, Py_ssize_t Py_UNUSED(value), int Py_UNUSED(is_gone))
{
    ((Written *)owner)->is_written = 1;
}

static PyObject *
Written_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"dict", NULL};
    PyObject *dict;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!", names, &PyDict_Type, &dict)) {
        return NULL;
    }
    Written *self = (Written *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->dict = Py_NewRef(dict);
    self->is_written = 1;
    mcpsmoke_listener_open(&self->listener, self, note);
    self->is_watched = mcpsmoke_watch(&self->listener, dict, 0);
    if (self->is_watched < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(take_doc,
"take() -> bool\n\nWhether the dict has been written to since the last call. The first one says yes.");

static PyObject *
Written_take(Written *self, PyObject *Py_UNUSED(ignored))
{
    int was = self->is_written;
#if HAS_WATCHERS
    self->is_written = !self->is_watched;
#else
    uint64_t tag = self->dict == NULL ? 0 : ((PyDictObject *)self->dict)->ma_version_tag;
    was = was || tag != self->tag;
    self->tag = tag;
    self->is_written = 0;
#endif
    return PyBool_FromLong(was);
}

static int
Written_traverse(Written *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    return 0;
}

static int
Written_clear(Written *self)
{
    mcpsmoke_listener_close(&self->listener);
    Py_CLEAR(self->dict);
    return 0;
}

static void
Written_dealloc(Written *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Written_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef written_methods[] = {
    {"take", (PyCFunction)Written_take, METH_NOARGS, take_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(written_doc, "Written(dict: dict)\n\nTells whether this dict has been written to.");

static PyType_Slot written_slots[] = {
    {Py_tp_doc, (void *)written_doc},
    {Py_tp_new, Written_new},
    {Py_tp_dealloc, Written_dealloc},
    {Py_tp_traverse, Written_traverse},
    {Py_tp_clear, Written_clear},
    {Py_tp_methods, written_methods},
    {0, NULL},
};

PyType_Spec mcpsmoke_written_spec = {
    .name = "pytest_mcpsmoke.state._parts.Written",
    .basicsize = sizeof(Written),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = written_slots,
};
