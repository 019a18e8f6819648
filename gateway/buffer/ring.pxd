# The types that Cython gives ring.py; ring.py runs without this file. Bounds checks stay on.
# Final: without a subclass to think of, a call of append costs half.

cimport cython

cdef Py_ssize_t _LAST_INDEX
cdef size_t _TIME_AT
cdef size_t _TIME_STEP
cdef size_t _VALUE_AT
cdef size_t _SERIES_AT
cdef size_t _SERIES_STEP
cdef size_t _FLAGS_AT
cdef size_t _FLAGS_STEP


@cython.final
cdef class Ring:
    cdef public object epoch
    cdef public object boot
    cdef public unsigned long long next_sequence
    cdef public list blocks
    cdef public Py_ssize_t durable
    cdef public Py_ssize_t tried
    cdef public object on_full
    cdef public unsigned long long lost_readings
    cdef Py_ssize_t _max_unflushed
    cdef unsigned long long _first
    cdef object _open
    cdef bytearray _buffer
    cdef object _bytes
    cdef long long[::1] _times
    cdef double[::1] _values
    cdef unsigned int[::1] _series
    cdef unsigned short[::1] _flags

    @cython.locals(sequence="unsigned long long", index=size_t, at=size_t)
    cpdef object append(self, long long series_id, long long time_ns, double value, long long flags)

    @cython.locals(
        total=Py_ssize_t,
        done=Py_ssize_t,
        index=Py_ssize_t,
        count=Py_ssize_t,
        sequence="unsigned long long",
        filled=bint,
        series_ids="const unsigned int[::1]",
        times="const long long[::1]",
        doubles="const double[::1]",
        flag_bits="const unsigned short[::1]",
    )
    cpdef object append_many(self, object series, object times_ns, object values, object flags)

    @cython.locals(
        at=size_t,
        to=size_t,
        end=size_t,
        source=size_t,
        to_times="long long[::1]",
        to_values="double[::1]",
        to_series="unsigned int[::1]",
        to_flags="unsigned short[::1]",
    )
    cdef object _put(
        self,
        size_t index,
        size_t count,
        size_t begin,
        const unsigned int[::1] series,
        const long long[::1] times,
        const double[::1] values,
        const unsigned short[::1] flags,
    )

    @cython.locals(at=Py_ssize_t)
    cdef object _clear_tail(self, Py_ssize_t count)
    cdef object _close(self, Py_ssize_t count)
    cdef object _start_block(self)
    cdef object _fall_out(self)
