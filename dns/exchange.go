package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// An Exchange sends a packed query to a server ("host:port") and returns its packed reply. Network
// is "udp" or "tcp"; a stream's length prefix (RFC 1035 section 4.2.2) is the Exchange's matter. It
// returns when ctx ends.
type Exchange func(ctx context.Context, network, server string, query []byte) ([]byte, error)

// maxForeign is how many datagrams that answer something else are passed over, so that whoever
// guesses at replies cannot end a lookup, nor keep us busy.
const maxForeign = 64

// NetExchange is the Exchange over the network: a new socket, and so a new random port, per query.
func NetExchange(ctx context.Context, network, server string, query []byte) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if network == "tcp" {
		return exchangeStream(conn, query)
	}
	return exchangeDatagram(conn, query)
}

func exchangeDatagram(conn net.Conn, query []byte) ([]byte, error) {
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, udpSize)
	for range maxForeign {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if n >= 2 && buf[0] == query[0] && buf[1] == query[1] {
			return buf[:n], nil
		}
	}
	return nil, fmt.Errorf("%d replies to other queries: someone may be guessing at ours", maxForeign)
}

func exchangeStream(conn net.Conn, query []byte) ([]byte, error) {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(query)), uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, reply)
	return reply, err
}
