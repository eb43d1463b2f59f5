package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Bounds of the PROXY protocol.
const (
	maxProxyV1 = 107     // bytes of a line of version 1, CRLF included
	maxProxyV2 = 4 << 10 // bytes of addresses and extensions that we take in version 2
)

// ErrProxy wraps everything that is wrong with a PROXY header.
var ErrProxy = errors.New("wire: no valid PROXY header")

var proxyV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")

// ReadProxy reads the header of the PROXY protocol, version 1 or 2, that a load balancer sends ahead of
// everything else, and not one byte more. It returns nc with the addresses that the header names, or
// nc itself for a connection that the balancer made for itself (LOCAL, UNKNOWN).
//
// Whoever may send the header may claim any address: the caller lists who may. It closes nc on error.
func ReadProxy(nc net.Conn, timeout time.Duration) (net.Conn, error) {
	if err := nc.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	head := make([]byte, len(proxyV2), maxProxyV1)
	if _, err := io.ReadFull(nc, head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxy, err)
	}
	var from, to netip.AddrPort
	var err error
	if bytes.Equal(head, proxyV2) {
		from, to, err = readProxyV2(nc)
	} else {
		from, to, err = readProxyV1(nc, head)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxy, err)
	}
	if err := nc.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if !from.IsValid() {
		return nc, nil
	}
	return &proxied{Conn: nc, remote: net.TCPAddrFromAddrPort(from), local: net.TCPAddrFromAddrPort(to)}, nil
}

// readProxyV1 reads the rest of a line of version 1, byte by byte, since what follows is not ours.
func readProxyV1(r io.Reader, line []byte) (from, to netip.AddrPort, err error) {
	if !bytes.HasPrefix(line, []byte("PROXY ")) {
		return from, to, errors.New("neither version")
	}
	for line[len(line)-1] != '\n' {
		if len(line) == maxProxyV1 {
			return from, to, errors.New("line too long")
		}
		line = line[:len(line)+1]
		if _, err := io.ReadFull(r, line[len(line)-1:]); err != nil {
			return from, to, err
		}
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return from, to, errors.New("line without CRLF")
	}
	return parseProxyV1(text)
}

func parseProxyV1(line string) (from, to netip.AddrPort, err error) {
	f := strings.Split(line, " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return from, to, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return from, to, errors.New("want TCP4 or TCP6 with two addresses and two ports")
	}
	from, err1 := joinAddrPort(f[2], f[4])
	to, err2 := joinAddrPort(f[3], f[5])
	if err := errors.Join(err1, err2); err != nil {
		return netip.AddrPort{}, netip.AddrPort{}, err
	}
	if v4 := f[1] == "TCP4"; from.Addr().Is4() != v4 || to.Addr().Is4() != v4 {
		return netip.AddrPort{}, netip.AddrPort{}, errors.New("address of the other family")
	}
	return from, to, nil
}

func joinAddrPort(addr, port string) (netip.AddrPort, error) {
	return netip.ParseAddrPort(net.JoinHostPort(addr, port))
}

// readProxyV2 reads what follows the signature of version 2.
func readProxyV2(r io.Reader) (from, to netip.AddrPort, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return from, to, err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || size > maxProxyV2 {
		return from, to, errors.New("unknown version or header too long")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return from, to, err
	}
	return parseProxyV2(head[0]&15, head[1], body)
}

func parseProxyV2(command, family byte, body []byte) (from, to netip.AddrPort, err error) {
	const local, proxy, tcp4, tcp6 = 0, 1, 0x11, 0x21
	size := map[byte]int{tcp4: 4, tcp6: 16}[family]
	switch {
	case command == local:
		return from, to, nil
	case command != proxy:
		return from, to, errors.New("unknown command")
	case size == 0:
		return from, to, nil // a family without addresses for us: as if LOCAL
	case len(body) < 2*size+4:
		return from, to, errors.New("addresses cut short")
	}
	src, _ := netip.AddrFromSlice(body[:size])
	dst, _ := netip.AddrFromSlice(body[size : 2*size])
	ports := body[2*size:]
	from = netip.AddrPortFrom(src.Unmap(), binary.BigEndian.Uint16(ports))
	to = netip.AddrPortFrom(dst.Unmap(), binary.BigEndian.Uint16(ports[2:]))
	return from, to, nil
}

// proxied is a connection under the addresses that a PROXY header gave.
type proxied struct {
	net.Conn
	remote, local net.Addr
}

func (p *proxied) RemoteAddr() net.Addr { return p.remote }
func (p *proxied) LocalAddr() net.Addr  { return p.local }

// SyscallConn lets a Conn wait on the file descriptor below.
func (p *proxied) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := p.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite lets Hangup close one direction.
func (p *proxied) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
