package queue

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"posthaste/mail"
	"posthaste/message"
	"posthaste/trace"
)

// An action is what a report says happened to a recipient (RFC 3464 section 2.3.3).
type action string

const (
	noReport  action = ""
	failed    action = "failed"
	delayed   action = "delayed"
	delivered action = "delivered"
	relayed   action = "relayed"
	expanded  action = "expanded"
)

// maxReturned is the largest message that a report returns whole, where the sender asked for that.
// Past it only the header is returned.
const maxReturned = 10 << 20

// A report tells the sender of entry what became of some of its recipients.
type report struct {
	entry      *Entry
	content    []byte // of the message; nil when it cannot be read
	recipients []reported
	host       string // who reports
	id         mail.QueueID
	now        time.Time
	policy     Policy
}

// until returns when we give up on a recipient.
func (r *report) until(to *Recipient) time.Time {
	expiry, by := r.policy.expiry(&r.entry.Envelope, to), r.entry.Envelope.DeliverBy
	if r.entry.Envelope.ByMode == mail.ByReturn && by.Before(expiry) {
		return by
	}
	return expiry
}

type reported struct {
	Recipient
	action action
}

// writeReport puts the report that ch calls for into it, as an entry of the same shard. A message
// with the null reverse-path has nobody to report to (RFC 5321 section 6.1), and neither has one that
// asked for silence.
func (q *Queue) writeReport(ctx context.Context, ch *change) error {
	e := ch.task.record.entry
	if e.Envelope.From.Null() {
		return nil
	}
	r := report{entry: e, host: q.host, now: ch.at, policy: q.policy()}
	for _, i := range ch.task.recipients {
		if v := ch.verdicts[i]; v.report != noReport {
			r.recipients = append(r.recipients, reported{v.recipient, v.report})
		}
	}
	if len(r.recipients) == 0 {
		return nil
	}
	content, err := q.loadToReport(ctx, e)
	if err != nil { // a report without the header is better than none
		q.log.Warn("queue: reporting without the original", "qid", e.ID, "err", err)
	}
	r.content = content
	r.id = q.newIDIn(shardOf(e.ID))
	ch.report, ch.content = newEntry(r.envelope(), ch.at), r.write()
	if q.sign != nil {
		ch.content = q.sign(ctx, ch.content)
	}
	ch.report.Size = int64(len(ch.content))
	if ch.packed, err = q.pack(context.WithoutCancel(ctx), ch.report, ch.content); err != nil {
		ch.report = nil
		return err
	}
	q.trace.Record(trace.Event{
		ID: e.ID, Step: trace.Report, OK: true, To: []mail.Address{e.Envelope.From.Address},
		Text: fmt.Sprintf("report %s tells %s: %s", r.id, e.Envelope.From, r.subject()),
	})
	return nil
}

// envelope returns that of the report: null reverse-path, and no wish to hear of it.
func (r *report) envelope() mail.Envelope {
	return mail.Envelope{
		ID:         r.id,
		Recipients: []mail.Recipient{{Address: r.entry.Envelope.From.Address, Notify: mail.NotifyNever}},
		Body:       mail.Body8Bit,
		SMTPUTF8:   r.international(),
		Received:   r.now,
		Origin:     mail.Origin{Protocol: "local"},
	}
}

// international tells whether the report needs RFC 6533: an address or a header field in it is not
// ASCII. That a client said SMTPUTF8 means little: many say it with every message.
func (r *report) international() bool {
	if !r.entry.Envelope.From.ASCII() || !isASCII(string(header(r.content))) {
		return true
	}
	return slices.ContainsFunc(r.recipients, func(p reported) bool { return !p.Address.ASCII() || !isASCII(p.ORcpt) })
}

// worst returns the action that the subject speaks of.
func (r *report) worst() action {
	for _, a := range []action{failed, delayed, relayed, expanded} {
		if r.any(a) {
			return a
		}
	}
	return delivered
}

func (r *report) any(a action) bool {
	return slices.ContainsFunc(r.recipients, func(p reported) bool { return p.action == a })
}

// returns tells whether the whole message goes back: it failed, RET=FULL, and it is not too large.
func (r *report) returns() bool {
	return r.entry.whole() && r.any(failed)
}

func (r *report) original() message.Header {
	return message.Parse(header(r.content)).Header
}

// whole tells whether reports that e failed return all of it.
func (e *Entry) whole() bool { return e.Envelope.Ret == mail.RetFull && e.Size <= maxReturned }

// loadToReport returns as much of the content as a report may quote: of a large message that is not
// returned whole, its begin.
func (q *Queue) loadToReport(ctx context.Context, e *Entry) (mail.Bytes, error) {
	if e.content.blob == "" || e.whole() || e.Size <= maxHeader {
		return q.load(ctx, e)
	}
	content, err := q.loadBlob(ctx, e, maxHeader)
	if err != nil {
		return nil, fmt.Errorf("queue: header of %s: %w", e.ID, err)
	}
	return content, nil
}

// header returns the header section of content without the empty line.
func header(content []byte) []byte {
	if end := bytes.Index(content, []byte("\r\n\r\n")); end >= 0 {
		return content[:end+2]
	}
	return content[:min(len(content), maxHeader)]
}

// maxHeader is how much of content without an empty line is taken for its header.
const maxHeader = 64 << 10
