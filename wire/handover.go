package wire

import (
	"errors"
	"net"
	"sync"
)

// ErrHandedOver ends the Accept of a server that another has taken the listener over from. Its sessions
// go on: see [Service.Serve].
var ErrHandedOver = errors.New("wire: the listener was handed over")

// A Handover is a listener that one server after the other may serve, as a reload of the configuration
// makes them, without a connection lost between them: those that nobody has accepted yet wait for the
// next server.
type Handover struct {
	ln       net.Listener
	accepted chan accepted
	closed   chan struct{}

	mu      sync.Mutex // guards what follows
	present *turn
	done    bool // closed is closed
}

type accepted struct {
	nc  net.Conn
	err error
}

// NewHandover returns a Handover of ln, which it closes in the end. Run must run.
func NewHandover(ln net.Listener) *Handover {
	return &Handover{ln: ln, accepted: make(chan accepted), closed: make(chan struct{})}
}

// Run accepts connections for whoever serves until the listener is closed.
func (h *Handover) Run() {
	for {
		nc, err := h.ln.Accept()
		select {
		case h.accepted <- accepted{nc, err}:
		case <-h.closed:
			if err == nil {
				nc.Close()
			}
			return
		}
	}
}

// Next returns the listener for the next server. The one before gets ErrHandedOver.
func (h *Handover) Next() net.Listener {
	t := &turn{h: h, over: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.present != nil {
		close(h.present.over)
	}
	h.present = t
	return t
}

// Retire closes the listener and lets the sessions of its last server go on.
func (h *Handover) Retire() error {
	h.Next()
	return h.close()
}

// Addr returns where h listens.
func (h *Handover) Addr() net.Addr { return h.ln.Addr() }

func (h *Handover) close() error {
	h.mu.Lock()
	first := !h.done
	h.done = true
	h.mu.Unlock()
	if !first {
		return nil
	}
	close(h.closed)
	return h.ln.Close()
}

// A turn is one server's time with the listener.
type turn struct {
	h    *Handover
	over chan struct{} // closed when the next turn begins
}

// Accept returns the next connection.
func (t *turn) Accept() (net.Conn, error) {
	select {
	case <-t.over:
		return nil, ErrHandedOver
	default:
	}
	select {
	case <-t.over:
		return nil, ErrHandedOver
	case <-t.h.closed:
		return nil, net.ErrClosed
	case a := <-t.h.accepted:
		return a.nc, a.err
	}
}

// Close closes the listener when it is still this server's.
func (t *turn) Close() error {
	t.h.mu.Lock()
	mine := t.h.present == t
	t.h.mu.Unlock()
	if !mine {
		return nil
	}
	return t.h.close()
}

// Addr returns where the listener listens.
func (t *turn) Addr() net.Addr { return t.h.Addr() }
