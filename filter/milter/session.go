package milter

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"posthaste/mail"
)

// ErrOver is why nothing can be asked any more: the milter went away, or an earlier wait did not end well.
var ErrOver = errors.New("milter: the session with the milter is over")

// A Session tells a milter of one SMTP session, in its order: Connect, Helo, and for each message Mail,
// Rcpt for each recipient, Message. A stage returns nil when the SMTP session goes on, the *mail.Status to
// answer with when the milter refuses it, and any other error when the milter could not be asked; then
// the Session is over. It is for one goroutine; Close it.
type Session struct {
	client  *Client
	conn    net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	flags   uint32
	chosen  macroList
	macros  macros
	verdict byte // of the connection: accept, discard, or 0
	message byte // of the present message: accept, discard, or 0
	inMail  bool // the milter knows of a message that has not ended
	over    bool
}

// Dial connects and agrees with the milter on what it wants to hear.
func (c *Client) Dial(ctx context.Context) (*Session, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.network, c.address)
	if err != nil {
		return nil, fmt.Errorf("milter: %w", err)
	}
	s := &Session{client: c, conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriterSize(conn, 2*maxChunk), macros: macros{}}
	if err := s.watch(ctx, s.negotiate); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// watch runs a dialogue that ends with ctx at the latest. After an error nothing more can be said.
func (s *Session) watch(ctx context.Context, dialogue func() error) error {
	if s.over {
		return ErrOver
	}
	deadline, _ := ctx.Deadline() // none is the zero time, which is no deadline
	s.conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Unix(1, 0)) })
	err := dialogue()
	if !stop() && err == nil { // the deadline in the past may come at any moment
		err = ctx.Err()
	}
	var status *mail.Status
	if err == nil || errors.As(err, &status) {
		return err
	}
	s.over = true
	s.conn.Close()
	if errors.Is(err, os.ErrDeadlineExceeded) { // that of the connection may come a moment before that of ctx
		err = cmp.Or(ctx.Err(), context.DeadlineExceeded)
	}
	return fmt.Errorf("milter: %w", err)
}

func (s *Session) negotiate() error {
	offer := binary.BigEndian.AppendUint32(nil, ourVersion)
	offer = binary.BigEndian.AppendUint32(offer, allActions)
	offer = binary.BigEndian.AppendUint32(offer, allFlags)
	s.write(cmdNegotiate, offer)
	p, err := s.read()
	if err != nil {
		return err
	}
	if p.code != replyNegotiate || len(p.data) < 12 {
		return fmt.Errorf("%w: %q in answer to the negotiation", errProtocol, p.code)
	}
	version := binary.BigEndian.Uint32(p.data)
	if version < leastVersion || version > ourVersion {
		return fmt.Errorf("%w: version %d, want %d to %d", errProtocol, version, leastVersion, ourVersion)
	}
	if wants := binary.BigEndian.Uint32(p.data[4:]) &^ allActions; wants != 0 {
		return fmt.Errorf("%w: it wants actions %#x that there are not", errProtocol, wants)
	}
	s.flags = binary.BigEndian.Uint32(p.data[8:]) & allFlags
	if version < dataVersion {
		s.flags |= noData
	}
	s.chosen, err = parseMacroList(p.data[12:])
	return err
}

// Connect tells of the client. Every Session begins with it.
func (s *Session) Connect(ctx context.Context, o mail.Origin) error {
	s.macros.client(s.client.cfg.Hostname, o)
	host := s.macros["{client_name}"]
	if host == "unknown" {
		host = "[" + s.macros["{client_addr}"] + "]"
	}
	family := byte('4')
	if o.IP.IsValid() && o.IP.Unmap().Is6() {
		family = '6'
	}
	data := append(cstring(nil, host), family, 0, 0) // the port is not known
	return s.stage(ctx, noConnect, noConnectReply, cmdConnect, cstring(data, s.macros["{client_addr}"]))
}

// Helo tells what the client calls itself, and of TLS.
func (s *Session) Helo(ctx context.Context, o mail.Origin) error {
	s.macros.tls(o)
	return s.stage(ctx, noHelo, noHeloReply, cmdHelo, cstring(nil, o.Helo))
}

// Mail begins a message, and ends one before it that came to no end. size is that which the client
// announced, or 0.
func (s *Session) Mail(ctx context.Context, env *mail.Envelope, size int) error {
	s.Reset()
	s.macros.sender(env)
	s.inMail = true
	data := cstring(nil, "<"+env.From.String()+">")
	if size > 0 {
		data = cstring(data, fmt.Sprintf("SIZE=%d", size))
	}
	if env.Body != "" {
		data = cstring(data, "BODY="+string(env.Body))
	}
	if env.SMTPUTF8 {
		data = cstring(data, "SMTPUTF8")
	}
	return s.stage(ctx, noMail, noMailReply, cmdMail, data)
}

// Rcpt names a recipient that we take ourselves. Its refusal holds for this one alone.
func (s *Session) Rcpt(ctx context.Context, r mail.Recipient) error {
	s.macros.recipient(r.Address)
	return s.stage(ctx, noRcpt, noRcptReply, cmdRcpt, cstring(nil, "<"+r.Address.String()+">"))
}

// stage sends a command with its macros and returns the answer, unless the milter does not want it.
func (s *Session) stage(ctx context.Context, unwanted, silent uint32, code byte, data []byte) error {
	if s.message != 0 {
		return nil
	}
	return s.watch(ctx, func() error {
		a, err := s.tell(unwanted, silent, code, data)
		if err != nil {
			return err
		}
		switch {
		case a.status != nil:
			return a.status
		case a.code == replyAccept || a.code == replyDiscard:
			s.message = a.code
			if code == cmdConnect || code == cmdHelo {
				s.verdict = a.code
			}
		}
		return nil
	})
}

// tell sends a command with its macros and reads the answer, if one is due.
func (s *Session) tell(unwanted, silent uint32, code byte, data []byte) (answer, error) {
	if s.flags&unwanted != 0 {
		return answer{code: replyContinue}, nil
	}
	if _, ok := stages[code]; ok {
		s.write(cmdMacros, s.macros.data(code, s.chosen.of(code)))
	}
	s.write(code, data)
	if s.flags&silent != 0 {
		return answer{code: replyContinue}, nil
	}
	p, err := s.read()
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(p)
}

// write puts a command into the buffer; an error shows when the answer is read.
func (s *Session) write(code byte, data []byte) {
	head := appendPacket(nil, code)
	binary.BigEndian.PutUint32(head, uint32(1+len(data)))
	s.w.Write(head)
	s.w.Write(data)
}

// read sends what is in the buffer and returns the next packet. Progress only means that the milter is
// still at work: the context ends the wait, however often it says so.
func (s *Session) read() (packet, error) {
	if err := s.w.Flush(); err != nil {
		return packet{}, err
	}
	for {
		p, err := readPacket(s.r)
		if err != nil || p.code != replyProgress {
			return p, err
		}
	}
}

// Reset tells the milter that the message ends here (RSET), if it knows of one.
func (s *Session) Reset() {
	if s.inMail && !s.over {
		s.write(cmdAbort, nil)
	}
	s.inMail, s.message = false, s.verdict
}

// Close says goodbye as far as that needs no wait, and ends the session.
func (s *Session) Close() error {
	if s.over {
		return nil
	}
	s.Reset()
	s.write(cmdQuit, nil)
	s.conn.SetDeadline(time.Now().Add(time.Second))
	s.w.Flush()
	s.over = true
	return s.conn.Close()
}
