# The types that Cython gives chain.py, which runs without this file.

cimport cython


@cython.final
cdef class Chain:
    cdef tuple _steps
    cdef tuple _names
    cdef tuple _ticking
    cdef tuple _expiring
    cdef public object apply
    cdef public str dropped_by
    cdef public object output
    cdef public list outputs
    cdef public list pending

    @cython.locals(number=Py_ssize_t)
    cpdef object _apply_all(self, time_ns, value, flags)
