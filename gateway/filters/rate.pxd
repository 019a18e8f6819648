# The types that Cython gives rate.py, which runs without this file.
# What a filter lets through stays the object that it was: only copies of it become C numbers.

cimport cython


@cython.final
cdef class Rate:
    cdef bint _drops
    cdef bint _started
    cdef double _last
    cdef long long _last_ns
    cdef double _per_ns

    @cython.locals(number=double, now_ns="long long")
    cpdef object apply(self, object time_ns, object value, object flags)
