# The types that Cython gives spike.py, which runs without this file.
# What a filter lets through stays the object that it was: only copies of it become C numbers.

cimport cython


@cython.final
cdef class Spike:
    cdef Py_ssize_t _size
    cdef Py_ssize_t _half
    cdef Py_ssize_t _at
    cdef Py_ssize_t _count
    cdef double _mads
    cdef double _least
    cdef str _action
    cdef double[::1] _order
    cdef double[::1] _sorted
    cdef list _ranked

    @cython.locals(number=double, median=double, deviation=double, ranked=list)
    cpdef object apply(self, object time_ns, object value, object flags)

    @cython.locals(ranked="double[::1]", place=Py_ssize_t, oldest=double)
    cdef object _push(self, double number)

    @cython.locals(
        place=Py_ssize_t, limit=double, nearer=Py_ssize_t, equal=Py_ssize_t
    )
    cdef bint _is_far(self, double median, double deviation)
