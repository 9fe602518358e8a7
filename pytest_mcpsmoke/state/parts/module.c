/* Parts accelerator: what objects hold, and what of it was changed, without running any of their code. */
#include "parts.h"

PyObject *
mcpsmoke_attributes_of(PyObject *object)
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

PyDoc_STRVAR(attributes_of_doc,
"attributes_of(object: object) -> dict\n\nThe attributes of an instance; an empty dict for what has none.");

static PyObject *
attributes_of_object(PyObject *Py_UNUSED(module), PyObject *object)
{
    return mcpsmoke_attributes_of(object);
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

PyDoc_STRVAR(differing_doc,
"differing(before: dict, after: dict) -> list of str\n\n"
"The names under which two dicts hold different objects, or only one of them holds any: those of the first\n"
"dict first. Raises TypeError where a key is no plain text.");

static int
append_differing(PyObject *result, PyObject *from, PyObject *other, int only_missing)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(from, &position, &key, &value)) {
        if (!PyUnicode_CheckExact(key)) {
            PyErr_SetString(PyExc_TypeError, "names are plain texts");
            return -1;
        }
        PyObject *held = PyDict_GetItemWithError(other, key);
        if (held == NULL && PyErr_Occurred()) {
            return -1;
        }
        if ((only_missing ? held == NULL : held != value) && PyList_Append(result, key) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
differing(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *before, *after;
    if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &before, &PyDict_Type, &after)) {
        return NULL;
    }
    PyObject *result = PyList_New(0);
    if (result != NULL
            && (append_differing(result, before, after, 0) < 0 || append_differing(result, after, before, 1) < 0)) {
        Py_CLEAR(result);
    }
    return result;
}

static PyMethodDef parts_functions[] = {
    {"differing", differing, METH_VARARGS, differing_doc},
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
    PyType_Spec *specs[] = {&mcpsmoke_comparer_spec, &mcpsmoke_functions_spec, &mcpsmoke_written_spec};
    for (int i = 0; i < 3; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        int failed = type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0;
        Py_XDECREF(type);
        if (failed) {
            return -1;
        }
    }
    return 0;
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
    .m_doc = "Parts accelerator: see the head of parts/module.c.",
    .m_methods = parts_functions,
    .m_slots = parts_slots,
};

PyMODINIT_FUNC
PyInit__parts(void)
{
    return PyModuleDef_Init(&parts_module);
}
