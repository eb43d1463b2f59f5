package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Faults are what the network does all the time.
type Faults struct {
	Delay time.Duration // of every write, one way; as much again at random
	Loss  float64       // probability that a write is sent again: seconds late, never missing
	Cut   float64       // probability that a connection breaks, at a random byte
}

// maxCut is the byte, at most, at which Faults.Cut breaks a connection.
const maxCut = 6 << 10

// Healthy is a network without faults: some milliseconds, during which something else may happen.
var Healthy = Faults{Delay: 10 * time.Millisecond}

// resend is how late, at most, a lost write arrives.
const resend = 3 * time.Second

var errPower = errors.New("sim: this machine has no power")

// A Network carries links between machines. Its methods may be called at the same time.
type Network struct {
	mu        sync.Mutex // guards what follows; never taken while holding that of a flow
	rng       *rand.Rand
	faults    Faults
	listeners map[netip.AddrPort]*listener
	dark      map[netip.Addr]bool // machines without power
	splits    map[[2]netip.Addr]bool
	links     map[*link]bool
	nextPort  uint16
	broken    int
	changed   chan struct{} // closed when a split heals or a machine comes up
}

func newNetwork(seed uint64) *Network {
	return &Network{
		rng: rand.New(rand.NewPCG(seed, 0)), faults: Healthy, listeners: map[netip.AddrPort]*listener{}, dark: map[netip.Addr]bool{},
		splits: map[[2]netip.Addr]bool{}, links: map[*link]bool{}, nextPort: 1024, changed: make(chan struct{}),
	}
}

// SetFaults changes what the network does from now on.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Broken returns how many open connections were broken or held up so far, by whatever fault: a reply
// that is lost, or comes too late, is what makes a message arrive twice.
func (n *Network) Broken() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.broken
}

// pair names two machines in either order.
func pair(a, b netip.Addr) [2]netip.Addr {
	if b.Less(a) {
		a, b = b, a
	}
	return [2]netip.Addr{a, b}
}

// Split parts two machines: nothing arrives until Heal, and nothing is lost.
func (n *Network) Split(a, b netip.Addr) { n.setSplit(a, b, true) }

// Heal ends a Split.
func (n *Network) Heal(a, b netip.Addr) { n.setSplit(a, b, false) }

func (n *Network) setSplit(a, b netip.Addr, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.splits[pair(a, b)] = on
	for l := range n.links {
		if l.machines != pair(a, b) {
			continue
		}
		if l.hold(on); on {
			n.broken++
		}
	}
	n.tell()
}

// tell wakes those who dial. n.mu is held.
func (n *Network) tell() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Break resets every open connection of a machine.
func (n *Network) Break(a netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.links {
		if l.touches(a) {
			n.reset(l)
		}
	}
}

// reset breaks a link for both ends. n.mu is held.
func (n *Network) reset(l *link) {
	if !n.links[l] {
		return
	}
	delete(n.links, l)
	n.broken++
	l.fail(l.ends[0].in, syscall.ECONNRESET)
	l.fail(l.ends[1].in, syscall.ECONNRESET)
}

// powerOff takes a machine from the network. What it sent and what has not arrived is gone. The other
// ends of its connections learn of that at once or, in half of the cases, never: their patience ends.
func (n *Network) powerOff(a netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark[a] = true
	for at, ln := range n.listeners {
		if at.Addr() == a {
			ln.shut()
			delete(n.listeners, at)
		}
	}
	for l := range n.links {
		if !l.touches(a) {
			continue
		}
		if n.rng.IntN(2) == 0 {
			n.reset(l)
			continue
		}
		delete(n.links, l)
		n.broken++
		l.silence(a)
	}
}

// powerOn puts a machine back on the network.
func (n *Network) powerOn(a netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark[a] = false
	n.tell()
}

// SetReachable says whether a machine answers new connections. Those that are open go on.
func (n *Network) SetReachable(a netip.Addr, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark[a] = !on
	n.tell()
}

// Dial connects the machine from to an address "ip:port". Where nothing answers it waits for ctx.
func (n *Network) Dial(ctx context.Context, from netip.Addr, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("sim: dial %q: %w", address, err)
	}
	for {
		nc, wait, err := n.try(from, to)
		if wait == nil {
			return nc, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: ctx.Err()}
		}
	}
}

// try connects, or fails, or returns what to wait for.
func (n *Network) try(from netip.Addr, to netip.AddrPort) (nc net.Conn, wait <-chan struct{}, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	refused := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	switch {
	case n.dark[from]:
		return nil, nil, refused(errPower)
	case n.dark[to.Addr()], n.splits[pair(from, to.Addr())]:
		return nil, n.changed, nil
	}
	ln := n.listeners[to]
	if ln == nil {
		return nil, nil, refused(syscall.ECONNREFUSED)
	}
	n.nextPort = max(n.nextPort+1, 1024)
	l := newLink(n, netip.AddrPortFrom(from, n.nextPort), to)
	if !ln.offer(l.ends[1]) {
		return nil, nil, refused(syscall.ECONNREFUSED)
	}
	n.links[l] = true
	return l.ends[0], nil, nil
}

// Listen opens a listener of a machine.
func (n *Network) Listen(address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("sim: listen on %q: %w", address, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: syscall.EADDRINUSE}
	}
	ln := &listener{network: n, at: at, backlog: make(chan net.Conn, 128), closed: make(chan struct{})}
	n.listeners[at] = ln
	return ln, nil
}

// A listener takes connections to one address.
type listener struct {
	network *Network
	at      netip.AddrPort
	backlog chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// offer puts a connection into the backlog.
func (ln *listener) offer(nc net.Conn) bool {
	select {
	case ln.backlog <- nc:
		return true
	default:
		return false
	}
}

func (ln *listener) Accept() (net.Conn, error) {
	select {
	case nc := <-ln.backlog:
		return nc, nil
	case <-ln.closed:
		return nil, net.ErrClosed
	}
}

func (ln *listener) shut() { ln.once.Do(func() { close(ln.closed) }) }

func (ln *listener) Close() error {
	ln.network.mu.Lock()
	if ln.network.listeners[ln.at] == ln {
		delete(ln.network.listeners, ln.at)
	}
	ln.network.mu.Unlock()
	ln.shut()
	for {
		select {
		case nc := <-ln.backlog:
			nc.Close()
		default:
			return nil
		}
	}
}

func (ln *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(ln.at) }

// A link is one connection.
type link struct {
	network  *Network
	machines [2]netip.Addr // as pair has them
	ends     [2]*end       // who dialed, who accepted
	faults   Faults        // as they were when it was opened

	mu   sync.Mutex // guards what follows
	rng  *rand.Rand
	left int // bytes until it breaks; negative: never
	open [2]bool
}

// newLink returns a link with the faults of n. n.mu is held.
func newLink(n *Network, from, to netip.AddrPort) *link {
	l := &link{network: n, machines: pair(from.Addr(), to.Addr()), faults: n.faults, left: -1, open: [2]bool{true, true}}
	l.rng = rand.New(rand.NewPCG(n.rng.Uint64(), 0))
	if l.rng.Float64() < l.faults.Cut {
		l.left = l.rng.IntN(maxCut)
	}
	there, back := newFlow(), newFlow()
	a, b := net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to)
	l.ends[0] = &end{link: l, in: back, out: there, local: a, remote: b, reads: newDeadline(), writes: newDeadline()}
	l.ends[1] = &end{link: l, in: there, out: back, local: b, remote: a, reads: newDeadline(), writes: newDeadline()}
	return l
}

func (l *link) touches(a netip.Addr) bool { return l.machines[0] == a || l.machines[1] == a }

// delay returns how long the next write is under way.
func (l *link) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.faults.Delay
	if d > 0 {
		d += time.Duration(l.rng.Int64N(int64(d)))
	}
	if l.faults.Loss > 0 && l.rng.Float64() < l.faults.Loss {
		d += time.Duration(l.rng.Int64N(int64(resend)))
	}
	return d
}

// passed counts bytes that were written, and breaks the link where it has to.
func (l *link) passed(bytes int) {
	l.mu.Lock()
	cut := l.left >= 0 && l.left < bytes
	if l.left >= 0 {
		l.left = max(0, l.left-bytes)
	}
	l.mu.Unlock()
	if cut {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		l.network.reset(l)
	}
}

// closed forgets a link that both ends have closed.
func (l *link) closed(e *end) {
	l.mu.Lock()
	for i := range l.ends {
		if l.ends[i] == e {
			l.open[i] = false
		}
	}
	over := !l.open[0] && !l.open[1]
	l.mu.Unlock()
	if over {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.links, l)
	}
}

// fail breaks one direction: what is under way is lost.
func (l *link) fail(f *flow, err error) {
	f.change(func() { f.chunks, f.size, f.held, f.broken = nil, 0, false, err })
}

func (l *link) hold(on bool) {
	for _, e := range l.ends {
		e.in.change(func() { e.in.held = on })
	}
}

// silence ends a link of a machine that lost power: its own end fails, the other hears nothing any
// more until its own patience ends.
func (l *link) silence(dead netip.Addr) {
	for _, e := range l.ends {
		if e.local.AddrPort().Addr() == dead {
			e.in.change(func() { e.in.chunks, e.in.size, e.in.deaf = nil, 0, true })
			e.out.change(func() { e.out.chunks, e.out.size, e.out.held, e.out.end = nil, 0, true, time.Now() })
		}
	}
}
