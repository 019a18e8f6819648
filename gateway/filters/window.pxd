# The types that Cython gives window.py, which runs without this file.

cimport cython


@cython.final
cdef class Window:
    cdef bint _apart
    cdef long long _count
    cdef long long _end_ns
    cdef object _environment
    cdef long long _every_ns
    cdef double _first
    cdef long long _flags
    cdef object _held
    cdef long long _held_ns
    cdef long long _hold_ns
    cdef bint _keeps
    cdef double _last
    cdef long long _last_ns
    cdef bint _left_out
    cdef double _max
    cdef double _min
    cdef long long _next
    cdef long long _number
    cdef long long _offset_ns
    cdef bint _open
    cdef object _outbox
    cdef object _outlets
    cdef long long _over_ns
    cdef long long _partial
    cdef object _quantiles
    cdef object _scale
    cdef double _second
    cdef long long _settle_ns
    cdef long long _skip
    cdef long long _start_ns
    cdef double _sum
    cdef bint _synced
    cdef bint _timed
    cdef long long _until_ns
    cdef double _weight

    cpdef object apply(self, long long time_ns, double value, long long flags)
