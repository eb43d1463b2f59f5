package remote

import (
	"context"
	"net/netip"
	"time"

	"posthaste/dns"
	"posthaste/mail"
)

// A job is one call of Deliver on its way.
type job struct {
	env      mail.Envelope
	rcpts    []mail.Recipient
	content  *content
	dest     Destination
	outcomes []*mail.Status // nil: no outcome yet
	failures []*mail.Status
	attempts int
	probe    bool // only ask about the recipient
}

// Deliver hands content to the hosts of dest for each of rcpts, and returns an outcome for each, in
// their order: Peer is the host that said it, empty when we did. A 2xx with enhanced code 2.1.9 is
// of a host that does not know DSN, so reports on success are ours. The recipients of env itself are
// not looked at. When ctx ends, Deliver returns soon, with temporary outcomes.
func (a *Agent) Deliver(ctx context.Context, env mail.Envelope, rcpts []mail.Recipient, c mail.Content, dest Destination) []*mail.Status {
	if dest.Port == 0 {
		dest.Port = a.cfg.Port
	}
	j := &job{env: env, rcpts: rcpts, content: newContent(c.Bytes()), dest: dest, outcomes: make([]*mail.Status, len(rcpts))}
	j.refuseUnsafe()
	if len(j.pending()) > 0 {
		a.traceRoute(j)
		a.tryHosts(ctx, j)
	}
	j.giveUp(ctx)
	a.traceOutcomes(j)
	return j.outcomes
}

// tryHosts goes through the hosts until every recipient has an outcome.
func (a *Agent) tryHosts(ctx context.Context, j *job) {
	hosts := shuffled(j.dest.Hosts)
	if a.reuse(ctx, j, hosts) {
		return
	}
	var dead []target
	for _, h := range hosts {
		for _, t := range a.targets(ctx, j, h) {
			if t.host.Socket == "" && a.dead.dead(t.addr, time.Now()) {
				dead = append(dead, t)
				continue
			}
			if a.tryTarget(ctx, j, t) {
				return
			}
		}
	}
	for _, t := range dead {
		if a.tryTarget(ctx, j, t) {
			return
		}
	}
}

// targets returns the addresses of h, unless the host cannot be used at all.
func (a *Agent) targets(ctx context.Context, j *job, h Host) []target {
	if ctx.Err() != nil || j.attempts >= maxAttempts {
		return nil
	}
	var answer dns.Answer[netip.Addr]
	if h.Socket != "" {
		answer.Records = []netip.Addr{{}}
	} else {
		var status *mail.Status
		if answer, status = a.addresses(ctx, j.dest, h); status != nil {
			j.failures = append(j.failures, status)
			a.traceNoAddress(j, h, status)
			return nil
		}
	}
	d, fail := a.demandOf(ctx, j, h, answer)
	if fail != nil {
		j.failures = append(j.failures, fail.status)
		a.traceUnfit(j, h, fail)
		return nil
	}
	targets := make([]target, len(answer.Records))
	for i, ip := range answer.Records {
		targets[i] = target{h, netip.AddrPortFrom(ip, uint16(portFor(j.dest, h))), d}
	}
	return targets
}

// reuse takes sessions with the best hosts that wait from an earlier message. One that turns out to
// be closed is no failure of its host.
func (a *Agent) reuse(ctx context.Context, j *job, hosts []Host) (done bool) {
	for _, h := range hosts {
		if h.Preference != hosts[0].Preference {
			break
		}
		for s := a.pool.take(j.poolKey(h)); s != nil; s = a.pool.take(j.poolKey(h)) {
			s.replies, s.perConnection = 0, j.dest.PerConnection
			a.traceReused(j, s)
			fail := a.converse(ctx, j, s)
			if fail == nil {
				return true
			}
			if s.replies > 0 && fail != errAgain {
				j.failures = append(j.failures, fail.status)
			}
		}
	}
	return false
}

// tryTarget connects and delivers. It returns whether there is nothing left to do: every recipient has
// an outcome, or the delivery must end.
func (a *Agent) tryTarget(ctx context.Context, j *job, t target) (done bool) {
	if j.attempts++; j.attempts > maxAttempts || ctx.Err() != nil {
		return true
	}
	for {
		todo := len(j.pending())
		s, fail := a.connect(ctx, j, t)
		if fail == nil {
			fail = a.converse(ctx, j, s)
		}
		if fail == errAgain && len(j.pending()) < todo {
			continue // the host takes the rest on another connection
		}
		if fail != nil {
			j.failures = append(j.failures, fail.status)
		}
		return fail == nil
	}
}

// errAgain says that a host takes no more transactions on one connection (RFC 9422 section 4.1).
var errAgain = &failure{mail.NewStatus(451, "4.4.2", "the host takes fewer messages on a connection than this one needs")}

// converse runs as many transactions as the recipients without outcome need. It returns nil when
// none is left; the session then waits for the next message.
func (a *Agent) converse(ctx context.Context, j *job, s *session) (fail *failure) {
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer func() {
		s.dead = !stop() || s.dead
		if fail != nil {
			s.quit()
			return
		}
		a.pool.put(s)
	}()
	for {
		todo := j.pending()
		if len(todo) == 0 {
			return nil
		}
		if s.full() {
			return errAgain
		}
		if fail := s.transact(j, s.batch(j, todo)); fail != nil {
			return fail
		}
		if s.dead && len(j.pending()) > 0 {
			return &failure{mail.NewStatus(451, "4.4.2", "%s closed the connection before it took all recipients", s.peer())}
		}
	}
}

// batch returns those of todo that go into one transaction, as many as the host takes.
func (s *session) batch(j *job, todo []int) []int {
	limit := maxRecipients
	if l := s.ext.limits.rcpts; l > 0 {
		limit = min(limit, l)
	}
	if s.ext.limits.domains == 0 && s.ext.dsn {
		return todo[:min(len(todo), limit)]
	}
	var batch []int
	domains := make(map[string]bool)
	for _, i := range todo {
		domain := j.rcpts[i].Address.Domain
		if len(batch) == limit {
			break
		}
		if s.unreported(j, i) != s.unreported(j, todo[0]) {
			continue
		}
		if s.ext.limits.domains == 0 {
			batch = append(batch, i)
			continue
		}
		if !domains[domain] && len(domains) == s.ext.limits.domains {
			continue
		}
		domains[domain] = true
		batch = append(batch, i)
	}
	return batch
}

// unreported tells whether recipient i, for whom no report is wanted, must travel with a null reverse-path
// because the host does not know NOTIFY=NEVER (RFC 3461 section 5.2.2 d).
func (s *session) unreported(j *job, i int) bool {
	return !s.ext.dsn && !s.lmtp && j.rcpts[i].Notify&mail.NotifyNever != 0
}

// full tells whether the session has had all transactions that the host takes on one connection.
func (s *session) full() bool {
	return s.ext.limits.mails > 0 && s.transactions >= s.ext.limits.mails || s.perConnection > 0 && s.transactions >= s.perConnection
}

// pending returns the indexes of the recipients without an outcome.
func (j *job) pending() []int {
	var todo []int
	for i := range j.outcomes {
		if j.outcomes[i] == nil {
			todo = append(todo, i)
		}
	}
	return todo
}

func (j *job) decide(indexes []int, status *mail.Status) {
	for _, i := range indexes {
		j.outcomes[i] = status
	}
}

// refuseUnsafe gives an outcome to addresses that would break out of their command. No parser of
// ours makes any, but what is stored may be older than its parser.
func (j *job) refuseUnsafe() {
	if hasControl(j.env.From.String()) {
		j.decide(j.pending(), mail.NewStatus(550, "5.1.7", "the sender's address holds a control character"))
	}
	for _, i := range j.pending() {
		if hasControl(j.rcpts[i].Address.String()) {
			j.decide([]int{i}, mail.NewStatus(550, "5.1.3", "the recipient's address holds a control character"))
		}
	}
}

func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// giveUp gives the recipients that no host took the reason why.
func (j *job) giveUp(ctx context.Context) {
	todo := j.pending()
	if len(todo) == 0 {
		return
	}
	status := verdict(j.failures)
	if ctx.Err() != nil {
		status = mail.NewStatus(451, "4.3.2", "the delivery was interrupted, because this system is stopping or was told so")
	}
	j.decide(todo, status)
}

// verdict sums up why no host could be used: the best host's temporary failure, because as long as
// one host may work later so may the message; a permanent failure only when all hosts agree on one.
func verdict(failures []*mail.Status) *mail.Status {
	for _, f := range failures {
		if !f.Permanent() {
			return temporary(f)
		}
	}
	if len(failures) == 0 {
		return mail.NewStatus(451, "4.4.1", "no host could be tried")
	}
	return failures[0]
}

// temporary keeps odd answers (a 2xx or 3xx in the wrong place) from looking like success.
func temporary(s *mail.Status) *mail.Status {
	if s.Code/100 == 4 {
		return s
	}
	return &mail.Status{Code: 451, Enhanced: "4.5.0", Text: "unexpected reply: " + s.Error(), Peer: s.Peer}
}
