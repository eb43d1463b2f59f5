package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	wire "github.com/miekg/dns"
)

// The types of record that mail asks for.
const (
	typeA     = wire.TypeA
	typeAAAA  = wire.TypeAAAA
	typeMX    = wire.TypeMX
	typeTXT   = wire.TypeTXT
	typePTR   = wire.TypePTR
	typeCNAME = wire.TypeCNAME
	typeTLSA  = wire.TypeTLSA
)

// How long an answer is kept, whatever its TTL says.
const (
	maxTTL         = 24 * time.Hour
	maxNegativeTTL = time.Hour       // RFC 2308 section 5 has 1 to 3 hours as sensible
	noSOATTL       = 5 * time.Second // a negative answer without SOA should not be kept; this damps repeats
	failureTTL     = 5 * time.Second // RFC 9520 section 3.2: at least 1 s, at most 5 minutes
)

// A question is one name and type; it is the key of the cache.
type question struct {
	name  string
	qtype uint16
	want  want
}

// want is what is asked for beside the records.
type want int

const (
	wantAnswer  want = iota // no more
	wantProof               // the answer is to be proven
	wantRecords             // whatever is in the reply, signatures included, for a proof of ours
)

func (q question) String() string { return wire.TypeToString[q.qtype] + " " + q.name }

// flight is what those who wait for the same answer have in common.
func (q question) flight() string { return q.String() + " " + strconv.Itoa(int(q.want)) }

// A record is the data of one resource record of a type that we ask for.
type record struct {
	preference uint16
	text       string // host of MX, PTR and CNAME, strings of TXT joined
	addr       netip.Addr
	tlsa       TLSA
}

// A result is what a question led to. It is immutable once in the cache.
type result struct {
	records  []record
	name     string // end of the chain of CNAMEs
	security Security
	expires  time.Time
	err      error // nil, ErrNoName, ErrNoData or a temporary cause
}

// lookup answers one question in the types of the caller.
func lookup[T any](ctx context.Context, r *Resolver, name string, qtype uint16, convert func(record) T) (Answer[T], error) {
	name, ok := canonical(name)
	q := question{name: name, qtype: qtype}
	if r.validate {
		q.want = wantProof
	}
	if !ok {
		return Answer[T]{}, &Error{Name: name, Type: wire.TypeToString[qtype], Err: ErrNoName}
	}
	res, err := r.lookup(ctx, q)
	if err == nil {
		err = res.err
	}
	ttl := max(0, time.Until(res.expires))
	if err != nil {
		return Answer[T]{}, &Error{Name: name, Type: wire.TypeToString[qtype], Err: err, TTL: ttl, Security: res.security}
	}
	a := Answer[T]{Records: make([]T, len(res.records)), Name: res.name, TTL: ttl, Security: res.security}
	for i, rec := range res.records {
		a.Records[i] = convert(rec)
	}
	return a, nil
}

// lookup takes a result from the cache, or has it fetched: once for all who wait for the same
// question. A caller who gives up does not spoil it for the others, so fetching has its own time.
func (r *Resolver) lookup(ctx context.Context, q question) (result, error) {
	if err := ctx.Err(); err != nil {
		return result{}, err
	}
	if res, ok := r.cache.get(q, time.Now()); ok {
		return res, nil
	}
	fetched := r.flights.DoChan(q.flight(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		res := r.fetch(ctx, q)
		if !errors.Is(res.err, ErrUnreachable) { // which ends for all names at once
			r.cache.put(q, res, cost(q, res), res.expires, time.Now())
		}
		return res, nil
	})
	select {
	case f := <-fetched:
		return f.Val.(result), nil
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
}

// fetch asks the servers and follows CNAMEs that a reply leaves open, as it does when they lead into
// another zone of a server that does not recurse.
func (r *Resolver) fetch(ctx context.Context, q question) result {
	ttl, security := maxTTL, Secure
	next := q
	for links := 0; links <= maxCNAMEs; {
		reply, err := r.ask(ctx, next)
		if err == nil && reply.proof != nil {
			err = r.prove(ctx, next, &reply)
		}
		if err != nil {
			return failure(err, ttl)
		}
		ttl = min(ttl, reply.ttl)
		security = min(security, reply.security)
		if !reply.open {
			return result{records: slices.Clip(reply.records), name: reply.name, security: security,
				expires: time.Now().Add(ttl), err: reply.err}
		}
		links += reply.links
		next.name = reply.name
	}
	return failure(fmt.Errorf("chain of CNAMEs longer than %d, it ends nowhere", maxCNAMEs), ttl)
}

// failure is the result that says for a short time why there is none.
func failure(err error, ttl time.Duration) result {
	res := result{err: err, expires: time.Now().Add(min(failureTTL, ttl))}
	if _, bogus := errors.AsType[*BogusError](err); bogus {
		res.security = Bogus
	}
	return res
}

// ask puts one question to the servers in turn, until one gives an answer or none is left.
func (r *Resolver) ask(ctx context.Context, q question) (reply, error) {
	if err := r.admit(ctx); err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.worry(ctx, cancel)()
	var failures failed
	for round := range rounds {
		quiet := true // nobody replied in this round
		for _, s := range r.servers {
			rep, err := r.askServer(ctx, s, q, firstTry<<round)
			if err == nil {
				return rep, nil
			}
			quiet = quiet && silent(err)
			r.log.Debug("name server failed", "server", s.address, "question", q.String(), "err", err)
			if round == rounds-1 || ctx.Err() != nil {
				failures = append(failures, fmt.Errorf("server %s: %w", s.address, err))
			}
			if ctx.Err() != nil {
				break
			}
		}
		if quiet {
			if err := r.suspect(ctx); err != nil {
				return reply{}, err
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return reply{}, failures
}
