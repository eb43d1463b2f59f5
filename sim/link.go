package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes a direction of a link holds before writing waits for the reader.
const window = 256 << 10

// A flow is one direction of a link: what was written and not yet read.
type flow struct {
	mu      sync.Mutex // guards what follows
	chunks  []chunk
	size    int
	end     time.Time // when the end of input arrives; zero while the writer may go on
	reading bool      // the reader has not closed
	broken  error
	deaf    bool          // the reader lost power: writes vanish
	held    bool          // nothing arrives: the network is split
	changed chan struct{} // closed at any change, then made anew
}

// A chunk is one write under way.
type chunk struct {
	data    []byte
	arrives time.Time
}

func newFlow() *flow { return &flow{reading: true, changed: make(chan struct{})} }

// tell wakes who waits. f.mu is held.
func (f *flow) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// change does something to f and wakes who waits.
func (f *flow) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	f.tell()
}

// take moves what has arrived into p. Where there is nothing, it returns what to wait for: a change,
// and a moment unless that is zero.
func (f *flow) take(p []byte, now time.Time) (n int, changed <-chan struct{}, at time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.deaf:
		return 0, nil, at, errPower
	case f.broken != nil:
		return 0, nil, at, f.broken
	case f.held:
	case len(f.chunks) > 0:
		c := &f.chunks[0]
		if at = c.arrives; at.After(now) {
			break
		}
		n = copy(p, c.data)
		if c.data = c.data[n:]; len(c.data) == 0 {
			f.chunks = f.chunks[1:]
		}
		f.size -= n
		f.tell()
		return n, nil, at, nil
	case !f.end.IsZero():
		if at = f.end; !at.After(now) {
			return 0, nil, at, io.EOF
		}
	}
	return 0, f.changed, at, nil
}

// put sends as much of p as there is room for.
func (f *flow) put(p []byte, arrives time.Time) (n int, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.end.IsZero():
		return 0, nil, net.ErrClosed
	case f.deaf:
		return len(p), nil, nil
	case !f.reading:
		return 0, nil, syscall.EPIPE
	case f.broken != nil:
		return 0, nil, f.broken
	case f.size >= window:
		return 0, f.changed, nil
	}
	n = min(len(p), window-f.size)
	if last := len(f.chunks) - 1; last >= 0 && arrives.Before(f.chunks[last].arrives) {
		arrives = f.chunks[last].arrives // a stream keeps its order
	}
	f.chunks = append(f.chunks, chunk{append([]byte(nil), p[:n]...), arrives})
	f.size += n
	f.tell()
	return n, nil, nil
}

// A deadline is a moment that may be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	at    time.Time
	moved chan struct{}
}

func newDeadline() *deadline { return &deadline{moved: make(chan struct{})} }

func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = at
	close(d.moved)
	d.moved = make(chan struct{})
}

func (d *deadline) get() (at time.Time, moved <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at, d.moved
}

// wait returns once something may have changed; at is a further moment to wake at, unless zero. It
// returns os.ErrDeadlineExceeded when the deadline is over.
func (d *deadline) wait(changed <-chan struct{}, at time.Time) error {
	limit, moved := d.get()
	now := time.Now()
	if !limit.IsZero() {
		if !limit.After(now) {
			return os.ErrDeadlineExceeded
		}
		if at.IsZero() || limit.Before(at) {
			at = limit
		}
	}
	var alarm <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(at.Sub(now))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case <-changed:
	case <-moved:
	case <-alarm:
	}
	return nil
}

// An end is one end of a link, as net.Conn. Unlike that of net.Pipe its writes are buffered, and it
// can be closed for writing only.
type end struct {
	link          *link
	in, out       *flow
	local, remote *net.TCPAddr
	reads, writes *deadline
}

var _ net.Conn = (*end)(nil)

// Read implements net.Conn.
func (e *end) Read(p []byte) (int, error) {
	for {
		if limit, _ := e.reads.get(); !limit.IsZero() && !limit.After(time.Now()) {
			return 0, os.ErrDeadlineExceeded
		}
		n, changed, at, err := e.in.take(p, time.Now())
		if n > 0 || err != nil {
			return n, err
		}
		if err := e.reads.wait(changed, at); err != nil {
			return 0, err
		}
	}
}

// Write implements net.Conn.
func (e *end) Write(p []byte) (sent int, err error) {
	for sent < len(p) {
		n, changed, err := e.out.put(p[sent:], time.Now().Add(e.link.delay()))
		if sent += n; err != nil {
			return sent, err
		}
		e.link.passed(n)
		if changed == nil {
			continue
		}
		if err := e.writes.wait(changed, time.Time{}); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// CloseWrite tells the other end that nothing more comes.
func (e *end) CloseWrite() error {
	arrives := time.Now().Add(e.link.delay())
	e.out.change(func() {
		if !e.out.end.IsZero() {
			return
		}
		if last := len(e.out.chunks) - 1; last >= 0 && arrives.Before(e.out.chunks[last].arrives) {
			arrives = e.out.chunks[last].arrives
		}
		e.out.end = arrives
	})
	return nil
}

// Close implements net.Conn.
func (e *end) Close() error {
	e.CloseWrite()
	e.in.change(func() {
		e.in.reading = false
		if e.in.broken == nil {
			e.in.broken = net.ErrClosed
		}
	})
	e.link.closed(e)
	return nil
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func (e *end) SetDeadline(t time.Time) error {
	e.reads.set(t)
	e.writes.set(t)
	return nil
}
func (e *end) SetReadDeadline(t time.Time) error  { e.reads.set(t); return nil }
func (e *end) SetWriteDeadline(t time.Time) error { e.writes.set(t); return nil }
