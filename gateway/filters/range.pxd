# The types that Cython gives range.py, which runs without this file.
# What a filter lets through stays the object that it was: only copies of it become C numbers.

cimport cython


@cython.final
cdef class Range:
    cdef double _min
    cdef double _max
    cdef bint _drops

    @cython.locals(number=double)
    cpdef object apply(self, object time_ns, object value, object flags)
