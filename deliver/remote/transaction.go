package remote

import (
	"fmt"
	"strings"
	"time"

	"posthaste/mail"
)

// transact runs one mail transaction for the recipients todo (indexes into j.rcpts). It gives
// outcomes; recipients that are left without one wait for another transaction, on this session when
// it returns nil. A failure is of the host: the next one may take those without outcome.
func (s *session) transact(j *job, todo []int) *failure {
	if j.probe {
		return s.ask(j)
	}
	send, todo, fail := j.prepare(s, todo)
	if fail != nil || len(todo) == 0 {
		return fail
	}
	s.transactions++
	accepted, data, fail := s.envelope(j, todo, send)
	if fail != nil {
		return fail
	}
	if len(accepted) == 0 {
		return s.abandon(data)
	}
	if send.bdat {
		return s.sendChunks(j, accepted, send)
	}
	return s.sendData(j, accepted, send, data)
}

// envelope sends MAIL, the RCPTs and, where it may, DATA in one flight (RFC 2920 section 3.1). It
// returns the recipients that were accepted and the reply to DATA, nil when that was not sent yet.
func (s *session) envelope(j *job, todo []int, send transfer) (accepted []int, data *mail.Status, fail *failure) {
	lines := make([]string, 0, len(todo)+3)
	if s.open {
		lines = append(lines, "RSET")
	}
	first := len(lines) // of MAIL
	env := j.env
	if s.unreported(j, todo[0]) {
		env.From = mail.ReversePath{}
	}
	lines = append(lines, mailLine(env, send, s.ext))
	for _, i := range todo {
		lines = append(lines, rcptLine(j.rcpts[i], s.ext))
	}
	if s.ext.pipelining && !send.bdat {
		lines = append(lines, "DATA")
	}
	replies, err := s.flight(lines, func(n int, reply *mail.Status) bool { return n != first || reply.OK() })
	s.open = true
	if first > 0 && len(replies) > 0 && !replies[0].OK() {
		s.dead = true // MAIL would be out of sequence
		return nil, nil, &failure{temporary(replies[0])}
	}
	if len(replies) > first {
		if fail := s.judgeMail(j, todo, replies[first]); fail != nil || !replies[first].OK() {
			data = lastReply(replies, lines)
			s.dead = s.dead || fail != nil && data != nil && data.Code == 354
			return nil, data, fail
		}
		answers := replies[first+1:]
		accepted = s.judgeRcpts(j, todo, answers[:min(len(answers), len(todo))])
	}
	switch {
	case err != nil:
		return nil, nil, s.failed("reply to "+phase(lines, len(replies)), err)
	case s.dead:
		return nil, nil, &failure{temporary(replies[len(replies)-1])}
	}
	return accepted, lastReply(replies, lines), nil
}

// lastReply returns the reply to DATA where that was among the lines and was answered.
func lastReply(replies []*mail.Status, lines []string) *mail.Status {
	if len(replies) == len(lines) && lines[len(lines)-1] == "DATA" {
		return replies[len(replies)-1]
	}
	return nil
}

// flight sends lines and reads their replies: all at once to a host that pipelines, else one by one
// as long as next agrees. It stops at a reply that ends the connection.
func (s *session) flight(lines []string, next func(n int, reply *mail.Status) bool) ([]*mail.Status, error) {
	if s.ext.pipelining {
		for _, line := range lines {
			s.conn.WriteString(line) // a failure to write shows when the reply is read
			s.conn.WriteString("\r\n")
		}
	}
	var replies []*mail.Status
	for n, line := range lines {
		if !s.ext.pipelining {
			s.conn.WriteString(line)
			s.conn.WriteString("\r\n")
		}
		reply, err := s.read(s.timeoutOf(line))
		if err != nil {
			return replies, err
		}
		replies = append(replies, reply)
		if s.dead || !s.ext.pipelining && !next(n, reply) {
			break
		}
	}
	return replies, nil
}

func (s *session) timeoutOf(line string) time.Duration {
	if line == "DATA" {
		return s.timeouts.Data
	}
	return s.timeouts.Command
}

// badSequence is the reply to a command that has no place where it came (RFC 5321 section 4.2.2).
const badSequence = 503

// judgeMail reads the reply to MAIL: for good it concerns the message, for now it concerns the host. Being
// out of step with the host says nothing of the message.
func (s *session) judgeMail(j *job, todo []int, reply *mail.Status) *failure {
	switch {
	case reply.OK():
		return nil
	case reply.Code == badSequence:
		s.dead = true
	case reply.Permanent():
		j.decide(todo, reply)
		return nil
	}
	return &failure{temporary(reply)}
}

// judgeRcpts reads the replies to RCPT, as many as came, and returns the recipients accepted. One
// refused because the transaction is full is left for the next (RFC 5321 section 4.5.3.1.10).
func (s *session) judgeRcpts(j *job, todo []int, replies []*mail.Status) (accepted []int) {
	for n, reply := range replies {
		i := []int{todo[n]}
		switch {
		case reply.OK():
			accepted = append(accepted, todo[n])
		case reply.Code == 421: // of the connection, not of the recipient
		case tooMany(reply) && len(accepted) > 0:
		case reply.Permanent():
			j.decide(i, reply)
		default:
			j.decide(i, temporary(reply))
		}
	}
	return accepted
}

// tooMany tells a reply that asks for another transaction from one about a single mailbox.
func tooMany(reply *mail.Status) bool {
	_, detail, _ := strings.Cut(reply.Enhanced, ".")
	return reply.Code == 452 && (detail == "" || detail == "5.3") || reply.Code == 552 && detail == "5.3"
}

// abandon ends a transaction without recipients. A host that answered a pipelined DATA with 354
// waits for content, which is then empty (RFC 2920 section 3.1).
func (s *session) abandon(data *mail.Status) *failure {
	if data == nil || data.Code != 354 {
		return nil
	}
	if s.lmtp { // answers for each recipient, so not at all
		s.dead = true
		return nil
	}
	s.command(".", s.timeouts.Data)
	return nil
}

// sendData sends DATA, if it was not yet, then the content (RFC 5321 section 4.1.1.4).
func (s *session) sendData(j *job, accepted []int, send transfer, reply *mail.Status) *failure {
	if reply == nil {
		var err error
		if reply, err = s.command("DATA", s.timeouts.Data); err != nil {
			return s.failed("reply to DATA", err)
		}
	}
	switch {
	case reply.Code == 421:
		return &failure{reply}
	case reply.Permanent():
		j.decide(accepted, reply)
		return nil
	case reply.Code != 354:
		s.dead = s.dead || !reply.Temporary() || reply.Code < 400
		j.decide(accepted, temporary(reply))
		return nil
	}
	if err := writeStuffed(s.conn, send.bytes); err != nil {
		return s.cutShort(j, accepted, err) // without its end nothing was accepted
	}
	s.conn.WriteString(".\r\n")
	s.finish(j, accepted)
	return nil
}

// sendChunks sends the content by BDAT (RFC 3030 section 2).
func (s *session) sendChunks(j *job, accepted []int, send transfer) *failure {
	rest := send.bytes
	for len(rest) > chunkSize {
		fmt.Fprintf(s.conn, "BDAT %d\r\n", chunkSize)
		s.conn.Write(rest[:chunkSize])
		rest = rest[chunkSize:]
		reply, err := s.read(s.timeouts.Block)
		switch {
		case err != nil:
			return s.cutShort(j, accepted, err)
		case reply.Code == 421:
			return &failure{reply}
		case reply.Permanent():
			j.decide(accepted, reply)
			return nil
		case !reply.OK():
			j.decide(accepted, temporary(reply))
			return nil
		}
	}
	fmt.Fprintf(s.conn, "BDAT %d LAST\r\n", len(rest))
	s.conn.Write(rest)
	s.finish(j, accepted)
	return nil
}

// cutShort looks for what the host said before it took no more of the content: some answer "552 too
// large" in the middle and hang up. Anything but a refusal is no answer.
func (s *session) cutShort(j *job, accepted []int, err error) *failure {
	s.conn.AbandonOutput()
	reply, lost := s.read(s.timeouts.Data)
	fail := s.failed("while it took the content", err)
	switch {
	case lost != nil || reply.Code < 400:
		return fail
	case reply.Code == 421:
		return &failure{reply}
	}
	j.decide(accepted, reply)
	return &failure{reply}
}

// finish reads the reply to the end of the content: one, or from LMTP one for each recipient that
// was accepted (RFC 2033 section 4.2). From here the host may have taken the message, so whatever is
// not clear is temporary, and not the next host's turn.
//
// After a refusal the transaction may still be open, which RFC 3030 section 2 says of BDAT and Postfix
// does: RSET then comes before the next.
func (s *session) finish(j *job, accepted []int) {
	taken := true
	groups := [][]int{accepted}
	if s.lmtp {
		groups = groups[:0]
		for n := range accepted {
			groups = append(groups, accepted[n:n+1])
		}
	}
	for n, group := range groups {
		reply, err := s.read(s.timeouts.Done)
		if err != nil {
			for _, g := range groups[n:] {
				j.decide(g, mail.NewStatus(451, "4.4.2", "%s: waiting for the reply to the end of the message: %s; it is not known whether it was taken", s.peer(), plain(err)))
			}
			return
		}
		s.conclude(j, group, reply)
		taken = taken && reply.OK()
	}
	s.open = !taken
}

func (s *session) conclude(j *job, group []int, reply *mail.Status) {
	switch {
	case reply.OK():
		if !s.ext.dsn {
			reply.Enhanced = relayed
		}
		j.decide(group, reply)
	case reply.Permanent():
		j.decide(group, reply)
	default:
		j.decide(group, temporary(reply))
	}
}

// phase names the command of a flight that has no reply.
func phase(lines []string, n int) string {
	verb, _, _ := strings.Cut(lines[min(n, len(lines)-1)], ":")
	verb, _, _ = strings.Cut(verb, " ")
	return verb
}
