/*
 * mayfly_guest, the CPython module around guest.h: what boot.py needs and Python cannot do. Limited API, so
 * one build serves every CPython from 3.9 on.
 *
 * The template's only thread sits in serve() and keeps the interpreter's lock; a cell holds it too while it
 * waits for its call and while it sends the last frame, when nothing else of the script matters any more.
 */

#define Py_LIMITED_API 0x03090000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/guest.h"
#include "wire/guest_api.h"

static PyObject *fail(int r)
{
        errno = -r;
        return PyErr_SetFromErrno(PyExc_OSError);
}

PyDoc_STRVAR(serve_doc, "serve(stamp, code, cache, input) -> 'cell' or 'selftest'\n\n"
                        "Waits as the template; returns only in its children, walls raised. stamp: what\n"
                        "compiled code depends on besides the interpreter's version. code, cache, input: a\n"
                        "call as most are, to see which memory it takes.");

static PyObject *serve(PyObject *self, PyObject *args)
{
        static struct guest_call sample = { .mode = GUEST_RUN, .language = GUEST_PYTHON };
        static const struct guest_hooks hooks = {
                .before_fork = PyOS_BeforeFork, .after_fork_child = PyOS_AfterFork_Child, .sample = &sample
        };
        const char *number = Py_GetVersion(); /* "3.11.2 (main, ...) [GCC ...]" */
        const char *stamp;
        char version[64];
        Py_ssize_t code_length, cache_length, input_length;

        (void)self;
        if (!PyArg_ParseTuple(args, "sy#y#y#", &stamp, &sample.code, &code_length, &sample.cache,
                    &cache_length, &sample.input, &input_length))
                return NULL;
        sample.code_length = (size_t)code_length;
        sample.cache_length = (size_t)cache_length;
        sample.input_length = (size_t)input_length;
        snprintf(version, sizeof version, "CPython %.*s #%s", (int)strcspn(number, " "), number, stamp);
        return PyUnicode_FromString(
                guest_serve(version, &hooks) == GUEST_ROLE_SELFTEST ? "selftest" : "cell");
}

PyDoc_STRVAR(has_call_doc, "has_call(ms) -> bool\n\nWhether this cell's call is there, or comes so soon.");

static PyObject *has_call(PyObject *self, PyObject *args)
{
        int ms;

        (void)self;
        if (!PyArg_ParseTuple(args, "i", &ms))
                return NULL;
        return PyBool_FromLong(guest_has_call(ms));
}

PyDoc_STRVAR(receive_doc, "receive() -> (mode, language, code, cache, input)\n\n"
                          "Says that the cell is ready and waits for its call.");

static PyObject *receive(PyObject *self, PyObject *args)
{
        struct guest_call call;
        PyObject *tuple;
        int r = guest_receive(&call);

        (void)self, (void)args;
        if (r < 0)
                return fail(r);
        tuple = Py_BuildValue("(IIy#y#y#)", (unsigned)call.mode, (unsigned)call.language, call.code,
                (Py_ssize_t)call.code_length, call.cache, (Py_ssize_t)call.cache_length, call.input,
                (Py_ssize_t)call.input_length);
        guest_call_deinit(&call);
        return tuple;
}

PyDoc_STRVAR(send_doc, "send(kind, body)\n\nSends one frame to the server.");

static PyObject *send_frame(PyObject *self, PyObject *args)
{
        const char *body;
        Py_ssize_t length;
        unsigned kind;
        int r;

        (void)self;
        if (!PyArg_ParseTuple(args, "Iy#", &kind, &body, &length))
                return NULL;
        r = guest_send(kind, body, (size_t)length);
        if (r < 0)
                return fail(r);
        Py_RETURN_NONE;
}

PyDoc_STRVAR(exit_doc, "exit(status)\n\nEnds the process at once.");

static PyObject *exit_process(PyObject *self, PyObject *args)
{
        int status;

        (void)self;
        if (!PyArg_ParseTuple(args, "i", &status))
                return NULL;
        guest_exit(status);
}

static PyMethodDef methods[] = {
        { "serve", serve, METH_VARARGS, serve_doc },
        { "has_call", has_call, METH_VARARGS, has_call_doc },
        { "receive", receive, METH_NOARGS, receive_doc },
        { "send", send_frame, METH_VARARGS, send_doc },
        { "exit", exit_process, METH_VARARGS, exit_doc },
        { NULL, NULL, 0, NULL },
};

static const struct {
        const char *name;
        long value;
} constants[] = {
        { "RUN", GUEST_RUN },
        { "CHECK", GUEST_CHECK },
        { "RESULT", FRAME_RESULT },
        { "NOTHING", FRAME_NOTHING },
        { "ERROR", FRAME_ERROR },
        { "SYNTAX", FRAME_SYNTAX },
        { "COMPILED", FRAME_COMPILED },
};

static struct PyModuleDef module = {
        PyModuleDef_HEAD_INIT,
        .m_name = "mayfly_guest",
        .m_doc = "What a Python template and its cells ask of mayfly.",
        .m_size = -1,
        .m_methods = methods,
};

PyMODINIT_FUNC PyInit_mayfly_guest(void); /* what the interpreter looks for */

PyMODINIT_FUNC PyInit_mayfly_guest(void)
{
        PyObject *object = PyModule_Create(&module);

        for (size_t i = 0; object && i < sizeof constants / sizeof *constants; i++) {
                if (PyModule_AddIntConstant(object, constants[i].name, constants[i].value) < 0) {
                        Py_DECREF(object);
                        return NULL;
                }
        }
        return object;
}
