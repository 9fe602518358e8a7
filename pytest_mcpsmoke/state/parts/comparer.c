/* Comparer: keeps, for each object, the parts that it had, and finds those that hold others now.
 *
 * Parts are a tuple of keys (None for a sequence) and one of values, compared by identity through the memory of
 * the built-in types: no key is hashed, no attribute is asked for. What kind of object it is has been found out
 * by Python (readers.py).
 *
 * Where dict watchers (3.12+) tell of every write to what holds the parts, a row is compared only after a
 * write. The others, the unseen, are compared whenever somebody asks.
 */
#include "parts.h"
#include <structmember.h>  /* T_OBJECT_EX */

enum { LIST, DICT, ATTRIBUTES, CELL, FUNCTION, SET, SLOTS };  /* as in readers.py */

#define MOST_SLOTS 64

typedef struct {
    PyObject *object;    /* owned; NULL: a row that was discarded */
    PyObject *keys;      /* owned: a tuple or None */
    PyObject *values;    /* owned: a tuple */
    PyObject *slots;     /* owned: a tuple of member descriptors; NULL for other kinds than SLOTS */
    PyObject *dict;      /* borrowed: the watched one; NULL: none */
    Py_ssize_t next;     /* of a discarded row: the next one of them; else of those with the same dict; or -1 */
    Py_ssize_t at;       /* among the unseen, or -1 */
    uint64_t mark;       /* SLOTS: which are set; before 3.12: the version of the dict, where there is one */
    char kind, is_written;
} Row;

/* What is looked at for an unseen row: all of it in few lines of memory, for waiting for memory is the cost. */
typedef struct {
    PyObject *object;    /* borrowed from the row */
    void *expected;      /* LOOK_ITEMS: borrowed, of the tuple of values; LOOK_INLINE: owned; LOOK_VERSION: its type */
    uint64_t version;    /* LOOK_VERSION */
    Py_ssize_t row;
    uint32_t size;       /* items; bytes; LOOK_VERSION: the kind of the row */
    uint32_t how;
} Look;

enum { LOOK_CLOSELY, LOOK_ITEMS, LOOK_INLINE, LOOK_VERSION };

typedef struct {
    PyObject_HEAD
    Row *rows;
    Py_ssize_t size, room, free;
    Py_ssize_t *written;                   /* indices of rows; has room for all, as has the next */
    Look *unseen;
    Py_ssize_t written_size, unseen_size;
    Listener listener;
    int is_told;                           /* touch() tells of another class, of another code, … */
} Comparer;

/* What differs. */

static int
list_is_as(PyObject *list, PyObject *values)
{
    Py_ssize_t size = PyList_GET_SIZE(list);
    return size == PyTuple_GET_SIZE(values)
        && memcmp(((PyListObject *)list)->ob_item, ((PyTupleObject *)values)->ob_item, size * sizeof(PyObject *)) == 0;
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

/* Whether the members of a set are those of the tuple, in the same order. */
static int
set_is_as(PyObject *set, PyObject *values)
{
    PySetObject *table = (PySetObject *)set;
    if (table->used != PyTuple_GET_SIZE(values)) {
        return 0;
    }
    Py_ssize_t at = 0;
    for (Py_ssize_t i = 0; i <= table->mask && at < table->used; i++) {
        const setentry *entry = &table->table[i];
        if (entry->key == NULL || entry->hash == -1) {  /* unused, or removed */
            continue;
        }
        if (entry->key != PyTuple_GET_ITEM(values, at)) {
            return 0;
        }
        at++;
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

/* The dict of an instance, borrowed; NULL when it has none. */
static PyObject *
dict_of(PyObject *object)
{
    if (Py_TYPE(object)->tp_dictoffset == 0 || PyType_Check(object) || PyModule_Check(object)) {
        return NULL;
    }
    PyObject **at = _PyObject_GetDictPtr(object);
    return at != NULL && *at != NULL && PyDict_Check(*at) ? *at : NULL;
}

/* Whether the attributes of an instance are those of the tuples, from the index `first` on. */
static int
attributes_are_as(PyObject *object, PyObject *keys, PyObject *values, Py_ssize_t first)
{
    PyObject *dict = dict_of(object);
    if (dict != NULL) {
        return dict_is_as(dict, keys, values, first);
    }
    if (Py_TYPE(object)->tp_dictoffset == 0) {
        return PyTuple_GET_SIZE(values) == first;
    }
    PyObject *made = mcpsmoke_attributes_of(object);
    if (made == NULL) {
        return -1;
    }
    int same = dict_is_as(made, keys, values, first);
    Py_DECREF(made);
    return same;
}

static PyObject *
slot_at(PyObject *object, PyObject *descriptors, Py_ssize_t i)
{
    PyMemberDescrObject *descriptor = (PyMemberDescrObject *)PyTuple_GET_ITEM(descriptors, i);
    return *(PyObject **)((char *)object + descriptor->d_member->offset);
}

/* Which slots of an object are set, a bit each. */
static uint64_t
slots_set(PyObject *object, PyObject *descriptors)
{
    uint64_t set = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(descriptors); i++) {
        set |= (uint64_t)(slot_at(object, descriptors, i) != NULL) << i;
    }
    return set;
}

static int
slots_are_as(const Row *row)
{
    PyObject *object = row->object, *keys = row->keys, *values = row->values, *descriptors = row->slots;
    Py_ssize_t at = 1;
    if (slots_set(object, descriptors) != row->mark) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(descriptors); i++) {
        PyObject *held = slot_at(object, descriptors, i);
        if (held == NULL) {
            continue;
        }
        if (at >= PyTuple_GET_SIZE(values) || held != PyTuple_GET_ITEM(values, at)) {
            return 0;
        }
        at++;
    }
    return attributes_are_as(object, keys, values, at);
}

/* The version of the dict that holds a row's parts; 0: there is none, or watchers tell of it. */
static uint64_t
version_of(const Row *row)
{
#if HAS_WATCHERS
    return 0;
#else
    PyObject *dict = row->kind == DICT ? row->object : row->kind == ATTRIBUTES ? dict_of(row->object) : NULL;
    return dict == NULL ? 0 : ((PyDictObject *)dict)->ma_version_tag;
#endif
}

/* 1: the parts are those of the row, 0: they are not, -1: an error is set. */
static int
compare(const Row *row)
{
    PyObject *object = row->object, *values = row->values;
    switch (row->kind) {
    case LIST:
        return list_is_as(object, values);
    case DICT:
        return dict_is_as(object, row->keys, values, 0);
    case CELL:
        return PyTuple_GET_SIZE(values) == (PyCell_GET(object) != NULL)
            && (PyCell_GET(object) == NULL || PyCell_GET(object) == PyTuple_GET_ITEM(values, 0));
    case FUNCTION:
        return function_is_as(object, values);
    case SET:
        return set_is_as(object, values);
    default:
        if ((PyObject *)Py_TYPE(object) != PyTuple_GET_ITEM(values, 0)) {
            return 0;
        }
        return row->kind == SLOTS ? slots_are_as(row) : attributes_are_as(object, row->keys, values, 1);
    }
}

/* The same of the row under an index: what it holds stays alive meanwhile, whatever that runs. */
static int
is_as_before(Comparer *self, Py_ssize_t index)
{
    Row row = self->rows[index];
    if (row.kind != ATTRIBUTES && row.kind != SLOTS) {
        return compare(&row);
    }
    Py_INCREF(row.object);
    Py_INCREF(row.keys);
    Py_INCREF(row.values);
    int same = compare(&row);
    Py_DECREF(row.object);
    Py_DECREF(row.keys);
    Py_DECREF(row.values);
    return same;
}

/* Rows: those that are watched, and the unseen. */

static void
mark(Comparer *self, Py_ssize_t index)
{
    if (!self->rows[index].is_written) {
        self->rows[index].is_written = 1;
        self->written[self->written_size++] = index;
    }
}

static void
note(void *owner, Py_ssize_t index, int is_gone)
{
    Comparer *self = owner;
    while (index >= 0) {
        Row *row = &self->rows[index];
        mark(self, index);
        index = row->next;
        if (is_gone) {
            row->dict = NULL;
            row->next = -1;
        }
    }
}

static void
leave_dict(Comparer *self, Py_ssize_t index)
{
    Row *row = &self->rows[index];
    if (row->dict == NULL) {
        return;
    }
    Py_ssize_t *at = addresses_find(&self->listener.values, row->dict);
    if (at != NULL && *at == index && row->next < 0) {
        mcpsmoke_unwatch(&self->listener, row->dict);
    }
    else if (at != NULL) {
        while (*at != index) {
            at = &self->rows[*at].next;
        }
        *at = row->next;
    }
    row->dict = NULL;
    row->next = -1;
}

static int
join_dict(Comparer *self, Py_ssize_t index, PyObject *dict)
{
    Row *row = &self->rows[index];
    Py_ssize_t *head = addresses_find(&self->listener.values, dict);
    if (head != NULL) {
        row->next = *head;
        *head = index;
    }
    else {
        int is_watched = mcpsmoke_watch(&self->listener, dict, index);
        if (is_watched <= 0) {
            return is_watched;
        }
    }
    row->dict = dict;
    return 0;
}

/* Where the values of an instance stand in the object itself (3.13): type, book-keeping, values and, a byte for
 * each, their order lie side by side, and what was written changes the one or the other. 0: they do not. */
static size_t
inline_bytes(PyObject *object)
{
#if PY_VERSION_HEX >= 0x030D0000 && PY_VERSION_HEX < 0x030E0000
    PyTypeObject *type = Py_TYPE(object);
    if ((type->tp_flags & Py_TPFLAGS_INLINE_VALUES) && type->tp_basicsize == sizeof(PyObject)) {
        const uint8_t *values = (uint8_t *)object + sizeof(PyObject);  /* capacity, size, embedded, valid */
        return values[3] ? sizeof(PyObject *) * (2 + (size_t)values[0]) + values[0] : 0;
    }
#endif
    return 0;
}

#define INLINE_START(object) ((char *)(object) + offsetof(PyObject, ob_type))

static int
is_as_looked(const Look *look)
{
    switch (look->how) {
    case LOOK_ITEMS:
        return Py_SIZE(look->object) == (Py_ssize_t)look->size
            && memcmp(((PyListObject *)look->object)->ob_item, look->expected, look->size * sizeof(PyObject *)) == 0;
    case LOOK_INLINE:
        return memcmp(INLINE_START(look->object), look->expected, look->size) == 0;
#if !HAS_WATCHERS
    case LOOK_VERSION: {
        if ((void *)Py_TYPE(look->object) != look->expected) {
            return 0;
        }
        PyObject *dict = look->size == DICT ? look->object : dict_of(look->object);
        return dict != NULL && ((PyDictObject *)dict)->ma_version_tag == look->version;
    }
#endif
    default:
        return 0;
    }
}

static void
forget_look(Look *look)
{
    if (look->how == LOOK_INLINE) {
        PyMem_Free(look->expected);
    }
    look->how = LOOK_CLOSELY;
}

/* How to look at an unseen row; its parts are those that its object has. */
static void
choose_look(const Row *row, Look *look)
{
    if (row->kind == LIST && Py_SIZE(row->object) <= UINT32_MAX) {
        look->how = LOOK_ITEMS;
        look->expected = ((PyTupleObject *)row->values)->ob_item;
        look->size = (uint32_t)Py_SIZE(row->object);
    }
    else if (row->kind == ATTRIBUTES && inline_bytes(row->object) > 0) {
        size_t size = inline_bytes(row->object);
        void *copy = PyMem_Malloc(size);
        if (copy != NULL) {  /* else it is looked at closely */
            memcpy(copy, INLINE_START(row->object), size);
            look->how = LOOK_INLINE;
            look->expected = copy;
            look->size = (uint32_t)size;
        }
    }
    else if (row->mark != 0 && (row->kind == DICT || row->kind == ATTRIBUTES)) {
        look->how = LOOK_VERSION;
        look->version = row->mark;
        look->expected = Py_TYPE(row->object);
        look->size = row->kind;
    }
}

static void
count_unseen(Comparer *self, Py_ssize_t index, int is_unseen)
{
    Row *row = &self->rows[index];
    if (row->at >= 0) {
        forget_look(&self->unseen[row->at]);
    }
    if (is_unseen && row->at < 0) {
        row->at = self->unseen_size;
        self->unseen[self->unseen_size++] = (Look){row->object, NULL, 0, index, 0, LOOK_CLOSELY};
    }
    else if (!is_unseen && row->at >= 0) {
        Look last = self->unseen[--self->unseen_size];
        self->unseen[row->at] = last;
        self->rows[last.row].at = row->at;
        row->at = -1;
    }
}

/* The dict whose watching tells all about a row, borrowed; NULL: there is none. */
static PyObject *
telling_dict(Comparer *self, const Row *row)
{
    if (row->kind == DICT) {
        return row->object;
    }
    if (!self->is_told) {
        return NULL;
    }
    if (row->kind == FUNCTION) {
        return ((PyFunctionObject *)row->object)->func_dict;
    }
    if (row->kind != ATTRIBUTES) {
        return NULL;
    }
    PyObject *dict = dict_of(row->object);
#if PY_VERSION_HEX >= 0x030D0000
    if (dict != NULL && ((PyDictObject *)dict)->ma_values != NULL) {
        return NULL;  /* the values stand in the object itself: writing there notifies nobody */
    }
#endif
    return dict;
}

/* Find out how changes of a row will be noticed; it has new parts, or its object has another dict. */
static int
settle(Comparer *self, Py_ssize_t index)
{
    Row *row = &self->rows[index];
    if (HAS_WATCHERS && self->is_told && row->kind == FUNCTION) {
        PyFunctionObject *function = (PyFunctionObject *)row->object;
        if (function->func_dict == NULL && (function->func_dict = PyDict_New()) == NULL) {
            return -1;
        }
    }
    PyObject *dict = telling_dict(self, row);
    if (dict != row->dict) {
        leave_dict(self, index);
        if (dict != NULL && join_dict(self, index, dict) < 0) {
            return -1;
        }
    }
    count_unseen(self, index, row->dict == NULL);
    row->mark = 0;
    if (row->kind == SLOTS && (PyObject *)Py_TYPE(row->object) == PyTuple_GET_ITEM(row->values, 0)) {
        row->mark = slots_set(row->object, row->slots);
    }
    int same = is_as_before(self, index);
    if (same == 0) {
        mark(self, index);
    }
    else if (same > 0) {
        row = &self->rows[index];
        if (row->kind != SLOTS) {
            row->mark = version_of(row);
        }
        if (row->at >= 0) {
            choose_look(row, &self->unseen[row->at]);
        }
    }
    return same < 0 ? -1 : 0;
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
    case SLOTS:
        return is_keyed && size >= 1;
    case CELL:
        return PyCell_Check(object) && size <= 1;
    case FUNCTION:
        return PyFunction_Check(object) && size == 4;
    case SET:
        return PySet_Check(object);
    default:
        return 0;
    }
}

/* Whether these are descriptors of slots that an object has. */
static int
are_slots(PyObject *slots, PyObject *object)
{
    if (!PyTuple_CheckExact(slots) || PyTuple_GET_SIZE(slots) > MOST_SLOTS) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(slots); i++) {
        PyObject *slot = PyTuple_GET_ITEM(slots, i);
        if (!Py_IS_TYPE(slot, &PyMemberDescr_Type)
                || ((PyMemberDescrObject *)slot)->d_member->type != T_OBJECT_EX
                || !PyType_IsSubtype(Py_TYPE(object), ((PyDescrObject *)slot)->d_type)) {
            return 0;
        }
    }
    return 1;
}

static PyObject *
Comparer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"is_told", NULL};
    int is_told = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$p", names, &is_told)) {
        return NULL;
    }
    Comparer *self = (Comparer *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->free = -1;
        self->is_told = is_told;
        mcpsmoke_listener_open(&self->listener, self, note);
    }
    return (PyObject *)self;
}

static int
make_room(Comparer *self)
{
    Py_ssize_t room = self->room ? 2 * self->room : 1024;
    Row *rows = PyMem_Realloc(self->rows, room * sizeof(Row));
    self->rows = rows != NULL ? rows : self->rows;
    Py_ssize_t *written = PyMem_Realloc(self->written, room * sizeof(Py_ssize_t));
    self->written = written != NULL ? written : self->written;
    Look *unseen = PyMem_Realloc(self->unseen, room * sizeof(Look));
    self->unseen = unseen != NULL ? unseen : self->unseen;
    if (rows == NULL || written == NULL || unseen == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->room = room;
    return 0;
}

static Py_ssize_t
take_row(Comparer *self)
{
    if (self->free >= 0) {
        Py_ssize_t index = self->free;
        self->free = self->rows[index].next;
        return index;
    }
    if (self->size == self->room && make_room(self) < 0) {
        return -1;
    }
    self->rows[self->size].is_written = 0;
    return self->size++;
}

/* Empty a row; what it held dies last, for that may run code that comes back here. */
static void
empty_row(Comparer *self, Py_ssize_t index)
{
    leave_dict(self, index);
    count_unseen(self, index, 0);
    Row old = self->rows[index];
    self->rows[index].object = NULL;  /* is_written stays as it is: so does the entry in the list */
    self->rows[index].next = self->free;
    self->free = index;
    Py_DECREF(old.object);
    Py_DECREF(old.keys);
    Py_DECREF(old.values);
    Py_XDECREF(old.slots);
}

PyDoc_STRVAR(add_doc,
"add(kind: int, object: object, keys: tuple | None, values: tuple, slots: tuple | None) -> int\n\n"
"Compare this object with these parts from now on; returns the index of its row. slots: the member\n"
"descriptors, for objects of that kind. Raises TypeError when object or parts are not of the kind.");

static PyObject *
Comparer_add(Comparer *self, PyObject *args)
{
    int kind;
    PyObject *object, *keys, *values, *slots;
    if (!PyArg_ParseTuple(args, "iOOO!O", &kind, &object, &keys, &PyTuple_Type, &values, &slots)) {
        return NULL;
    }
    if (!fits(kind, object, keys, values) || (kind == SLOTS && !are_slots(slots, object))) {
        PyErr_SetString(PyExc_TypeError, "object or parts are not of this kind");
        return NULL;
    }
    Py_ssize_t index = take_row(self);
    if (index < 0) {
        return NULL;
    }
    char is_written = self->rows[index].is_written;
    self->rows[index] = (Row){
        Py_NewRef(object), Py_NewRef(keys), Py_NewRef(values), kind == SLOTS ? Py_NewRef(slots) : NULL,
        NULL, -1, -1, 0, (char)kind, is_written,
    };
    if (settle(self, index) < 0) {
        empty_row(self, index);
        return NULL;
    }
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
    int failed = settle(self, index);
    Py_DECREF(old_keys);  /* what dies with them may run code that comes back here */
    Py_DECREF(old_values);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The index that an argument stands for, or -1 with an error set. */
static Py_ssize_t
index_in(Comparer *self, PyObject *arg)
{
    Py_ssize_t index = PyLong_AsSsize_t(arg);
    if (index == -1 && PyErr_Occurred()) {
        return -1;
    }
    return row_at(self, index) == NULL ? -1 : index;
}

PyDoc_STRVAR(discard_doc, "discard(index: int) -> None\n\nCompare this row no more, and hold it no more.");

static PyObject *
Comparer_discard(Comparer *self, PyObject *arg)
{
    Py_ssize_t index = index_in(self, arg);
    if (index < 0) {
        return NULL;
    }
    empty_row(self, index);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(touch_doc,
"touch(index: int) -> None\n\nThe object of this row is getting another class, or a function another code: look at it.");

static PyObject *
Comparer_touch(Comparer *self, PyObject *arg)
{
    Py_ssize_t index = index_in(self, arg);
    if (index < 0) {
        return NULL;
    }
    mark(self, index);
    Py_RETURN_NONE;
}

/* What is found. */

typedef struct {
    Py_ssize_t *indices;
    Py_ssize_t size;
} Found;

/* Compare the rows that were written to. Those that are as before are watched on. */
static int
compare_written(Comparer *self, Found *found)
{
    Py_ssize_t count = self->written_size;
    Py_ssize_t *written = PyMem_Malloc((count + 1) * sizeof(Py_ssize_t));  /* more may be written meanwhile */
    if (written == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(written, self->written, count * sizeof(Py_ssize_t));
    self->written_size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        self->rows[written[i]].is_written = 0;
    }
    int failed = 0;
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        Py_ssize_t index = written[i];
        if (self->rows[index].object == NULL) {
            continue;
        }
        int same = is_as_before(self, index);
        if (same == 0) {
            mark(self, index);  /* until it is updated */
            found->indices[found->size++] = index;
        }
        else {
            failed = same < 0 || settle(self, index) < 0;
        }
    }
    PyMem_Free(written);
    return failed ? -1 : 0;
}

#ifdef __GNUC__
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address)
#endif
#define AHEAD 8  /* objects fetched in advance: they lie anywhere */

static int
compare_unseen(Comparer *self, Found *found, Py_ssize_t most)
{
    for (Py_ssize_t i = 0; i < self->unseen_size && found->size < most; i++) {
        const Look *look = &self->unseen[i];
        if (i + AHEAD < self->unseen_size) {
            FETCH(look[AHEAD].object);
            FETCH(look[AHEAD].expected);
        }
        if (is_as_looked(look)) {
            continue;
        }
        Py_ssize_t index = look->row;
        if (self->rows[index].is_written) {
            continue;  /* it has been found */
        }
        int same = is_as_before(self, index);
        if (same < 0) {
            return -1;
        }
        if (same == 0) {
            found->indices[found->size++] = index;
        }
    }
    return 0;
}

static int
ascending(const void *one, const void *other)
{
    Py_ssize_t a = *(const Py_ssize_t *)one, b = *(const Py_ssize_t *)other;
    return (a > b) - (a < b);
}

PyDoc_STRVAR(changed_doc,
"changed(unseen: bool = True) -> list of int\n\n"
"The rows whose objects hold other parts now, until they are updated. unseen: compare those, too, of whose\n"
"changes nobody tells.");

static PyObject *
Comparer_changed(Comparer *self, PyObject *args)
{
    int unseen = 1;
    if (!PyArg_ParseTuple(args, "|p", &unseen)) {
        return NULL;
    }
    Py_ssize_t most = self->written_size + (unseen ? self->unseen_size : 0);
    if (most == 0) {
        return PyList_New(0);
    }
    Found found = {PyMem_Malloc(most * sizeof(Py_ssize_t)), 0};
    if (found.indices == NULL) {
        return PyErr_NoMemory();
    }
    int failed = compare_written(self, &found) < 0 || (unseen && compare_unseen(self, &found, most) < 0);
    PyObject *result = NULL;
    if (!failed) {
        qsort(found.indices, found.size, sizeof(Py_ssize_t), ascending);
        result = PyList_New(found.size);
    }
    for (Py_ssize_t i = 0; result != NULL && i < found.size; i++) {
        PyObject *index = PyLong_FromSsize_t(found.indices[i]);
        if (index == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyList_SET_ITEM(result, i, index);
    }
    PyMem_Free(found.indices);
    return result;
}

static Py_ssize_t
Comparer_length(Comparer *self)
{
    return self->unseen_size;
}

static int
Comparer_traverse(Comparer *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < self->size; i++) {
        if (self->rows[i].object != NULL) {
            Py_VISIT(self->rows[i].object);
            Py_VISIT(self->rows[i].keys);
            Py_VISIT(self->rows[i].values);
            Py_VISIT(self->rows[i].slots);
        }
    }
    return 0;
}

static int
Comparer_clear(Comparer *self)
{
    mcpsmoke_listener_close(&self->listener);
    Row *rows = self->rows;
    Py_ssize_t size = self->size;
    for (Py_ssize_t i = 0; i < self->unseen_size; i++) {
        forget_look(&self->unseen[i]);
    }
    PyMem_Free(self->written);
    PyMem_Free(self->unseen);
    self->rows = NULL;
    self->written = NULL;
    self->unseen = NULL;
    self->size = self->room = self->written_size = self->unseen_size = 0;
    self->free = -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (rows[i].object != NULL) {
            Py_DECREF(rows[i].object);
            Py_DECREF(rows[i].keys);
            Py_DECREF(rows[i].values);
            Py_XDECREF(rows[i].slots);
        }
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

static PyMethodDef comparer_methods[] = {
    {"add", (PyCFunction)Comparer_add, METH_VARARGS, add_doc},
    {"update", (PyCFunction)Comparer_update, METH_VARARGS, update_doc},
    {"discard", (PyCFunction)Comparer_discard, METH_O, discard_doc},
    {"touch", (PyCFunction)Comparer_touch, METH_O, touch_doc},
    {"changed", (PyCFunction)Comparer_changed, METH_VARARGS, changed_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(comparer_doc,
"Comparer(*, is_told: bool = False)\n\n"
"Objects, and the parts that they had when they were last read. is_told: touch() will tell when an instance\n"
"gets another class, or a function another code or other defaults. Its length is the number of the unseen.");

static PyType_Slot comparer_slots[] = {
    {Py_tp_doc, (void *)comparer_doc},
    {Py_tp_new, Comparer_new},
    {Py_tp_dealloc, Comparer_dealloc},
    {Py_tp_traverse, Comparer_traverse},
    {Py_tp_clear, Comparer_clear},
    {Py_tp_methods, comparer_methods},
    {Py_mp_length, Comparer_length},
    {0, NULL},
};

PyType_Spec mcpsmoke_comparer_spec = {
    .name = "pytest_mcpsmoke.state._parts.Comparer",
    .basicsize = sizeof(Comparer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = comparer_slots,
};
