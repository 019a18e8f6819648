# The types that Cython gives deadband.py, which runs without this file.
# What a filter lets through stays the object that it was: only copies of it become C numbers.

cimport cython


@cython.final
cdef class Deadband:
    cdef double _absolute
    cdef double _share
    cdef double _low
    cdef double _high
    cdef long long _heartbeat_ns
    cdef long long _due_ns
    cdef object _flags

    @cython.locals(number=double, now_ns="long long", width=double)
    cpdef object apply(self, object time_ns, object value, object flags)
