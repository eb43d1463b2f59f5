package imapd

import (
	"context"
	"errors"
	"strconv"
	"time"

	"posthaste/imap"
	"posthaste/mail"
	"posthaste/store"
)

// Bounds of what FETCH holds. Rows are read in batches; responses are gathered, then written.
const (
	batchRows   = 256       // of one batch when only facts are asked for
	contentRows = 4096      // of one batch with content, which the store reads ahead within a bound of its own
	outputBytes = 64 << 10  // gathered before they are written, where the store is not inside a View
	largeData   = 32 << 10  // data from this size on is written by itself, uncopied
	keptOutput  = 512 << 10 // capacity of a buffer that is kept for the next FETCH
)

// A fetchPlan is what a FETCH needs.
type fetchPlan struct {
	items        []imap.FetchItem
	facts        bool // what is known without content
	content      bool
	changedSince mail.ModSeq // rows up to it are passed over
}

// A fetchRow is one message to print: its row and number as the client knows it.
type fetchRow struct {
	number int
	row    store.Row
}

// fetch answers FETCH and UID FETCH (RFC 9051 section 6.4.5).
func (s *session) fetch(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Fetch)
	byUID := cmd.Name == "UID FETCH"
	rows, ghosts, err := s.box.spans(args.Set, byUID)
	if err != nil {
		return answer{}, err
	}
	plan, seen := s.plan(args, byUID)
	if seen && !s.box.readOnly {
		if rows, err = s.markSeen(ctx, rows, args.Set, byUID, plan); err != nil {
			return answer{}, err
		}
	}
	if plan.content {
		s.traceRead()
	}
	f := &fetcher{session: s, plan: plan}
	defer f.release()
	for _, r := range rows {
		if err := f.span(ctx, r); err != nil {
			return answer{}, err
		}
	}
	for _, k := range ghosts {
		if k < len(s.box.ghosts) {
			f.add(s.box.ghostNumber(k), s.box.ghosts[k])
		}
	}
	if err := f.flush(ctx); err != nil {
		return answer{}, err
	}
	if f.failure != nil {
		return answer{}, f.failure
	}
	return answer{}, nil
}

// plan turns the arguments into a plan, and tells whether \Seen is to be set.
func (s *session) plan(args *imap.Fetch, byUID bool) (plan *fetchPlan, seen bool) {
	plan = &fetchPlan{changedSince: mail.ModSeq(args.ChangedSince)}
	has := [imap.FetchBinarySize + 1]bool{}
	for _, item := range args.Items {
		if repeated := item.Kind < imap.FetchBody && has[item.Kind]; repeated {
			continue
		}
		has[item.Kind] = true
		switch item.Kind {
		case imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchBodyShort:
			plan.facts = true
		case imap.FetchBody, imap.FetchBinary, imap.FetchBinarySize:
			plan.content = true
			seen = seen || !item.Peek
		}
		plan.items = append(plan.items, item)
	}
	if args.Conditional || has[imap.FetchModSeq] {
		s.useCondstore()
	}
	if byUID && !has[imap.FetchUID] {
		plan.items = append([]imap.FetchItem{{Kind: imap.FetchUID, Label: "UID"}}, plan.items...)
	}
	if args.Conditional && !has[imap.FetchModSeq] { // RFC 7162 section 3.1.4.1
		plan.items = append(plan.items, imap.FetchItem{Kind: imap.FetchModSeq, Label: "MODSEQ"})
	}
	return plan, seen
}

// markSeen sets \Seen on rows, and has FETCH tell the flags where that changed some (RFC 9051 section
// 6.4.5). The rows are those of the view after it.
func (s *session) markSeen(ctx context.Context, rows []span, set imap.Set, byUID bool, plan *fetchPlan) ([]span, error) {
	if !s.anyUnseen(rows) {
		return rows, nil
	}
	result, err := s.account.SetFlags(ctx, s.box.id, store.FlagChange{UIDs: s.box.uids(rows), Op: store.AddFlags, Flags: []string{`\Seen`}})
	if err != nil || len(result.Changed) == 0 {
		return rows, err
	}
	known := s.box.maxUID()
	if err := s.advance(ctx, false, result.ModSeq); err != nil {
		return nil, err
	}
	hasFlags := false
	for _, item := range plan.items {
		hasFlags = hasFlags || item.Kind == imap.FetchFlags
	}
	if !hasFlags {
		plan.items = append(plan.items, imap.FetchItem{Kind: imap.FetchFlags, Label: "FLAGS"})
	}
	after, _, err := s.box.spans(set, byUID)
	return s.box.upTo(after, known), err
}

// upTo cuts from rows those with a UID over last: messages that came after a set was named.
func (b *selected) upTo(rows []span, last mail.UID) []span {
	end, ok := b.view.Find(last)
	if ok {
		end++
	}
	for i := range rows {
		rows[i].to = min(rows[i].to, end)
		if rows[i].from >= rows[i].to {
			return rows[:i]
		}
	}
	return rows
}

func (s *session) anyUnseen(rows []span) bool {
	for _, r := range rows {
		for _, row := range s.box.view.Rows(r.from, r.to) {
			if !row.Keywords.Seen() {
				return true
			}
		}
	}
	return false
}

// traceRead notes once per selected mailbox that its owner read mail.
func (s *session) traceRead() {
	if s.box.read {
		return
	}
	s.box.read = true
	s.record(true, "FETCH", "OK", s.who.Address.String()+" read mail in "+s.box.view.Mailbox().Name+" by IMAP")
}

// A fetcher prints messages in batches.
type fetcher struct {
	*session
	plan    *fetchPlan
	batch   []fetchRow
	ids     []store.EmailID
	out     *[]byte
	failure error // what could not be told in a response, for the tagged one
}

// span prints the rows of r.
func (f *fetcher) span(ctx context.Context, r span) error {
	limit := batchRows
	if f.plan.content {
		limit = contentRows
	}
	for i, row := range f.box.view.Rows(r.from, r.to) {
		if row.ModSeq <= f.plan.changedSince {
			continue
		}
		if len(f.batch) == limit {
			if err := f.flush(ctx); err != nil {
				return err
			}
		}
		f.add(f.box.number(i, row.UID), row)
	}
	return nil
}

func (f *fetcher) add(number int, row store.Row) {
	f.batch = append(f.batch, fetchRow{number, row})
}

// flush prints the batch.
func (f *fetcher) flush(ctx context.Context) error {
	if len(f.batch) == 0 {
		return nil
	}
	if f.out == nil {
		f.out = f.srv.output()
	}
	out, err := f.print(ctx, (*f.out)[:0])
	*f.out = out[:0]
	f.batch = f.batch[:0]
	if err != nil {
		return err
	}
	if _, err := f.conn.Write(out); err != nil {
		return connError{err}
	}
	return nil
}

// print appends the responses of the batch to out, and may write some of them.
func (f *fetcher) print(ctx context.Context, out []byte) ([]byte, error) {
	switch {
	case f.plan.content:
		return f.printContent(ctx, out)
	case f.plan.facts: // nothing is written meanwhile: the store is inside a View
		rowOf := f.lookUp()
		err := f.account.Facts(ctx, f.ids, func(facts *store.Facts) error {
			out = f.response(out, rowOf(facts.Email), facts, nil)
			return nil
		})
		return out, err
	}
	for i := range f.batch {
		out = f.response(out, &f.batch[i], nil, nil)
	}
	return out, nil
}

func (f *fetcher) printContent(ctx context.Context, out []byte) ([]byte, error) {
	if len(f.batch) == 1 { // nothing to read ahead
		content, err := f.account.Content(ctx, f.batch[0].row.Email)
		switch {
		case errors.Is(err, store.ErrNoEmail):
			return out, nil
		case err != nil:
			return out, err
		}
		return f.response(out, &f.batch[0], nil, newBody(content)), nil
	}
	rowOf := f.lookUp()
	err := f.account.Contents(ctx, f.ids, func(id store.EmailID, content []byte) error {
		out = f.response(out, rowOf(id), nil, newBody(content))
		if len(out) < outputBytes {
			return nil
		}
		_, err := f.conn.Write(out)
		if out = out[:0]; err != nil {
			return connError{err}
		}
		return nil
	})
	return out, err
}

// lookUp sets ids from the batch and returns the function that finds the row of the next ID. The store
// passes over emails that are gone, and never changes the order.
func (f *fetcher) lookUp() func(store.EmailID) *fetchRow {
	f.ids = f.ids[:0]
	for i := range f.batch {
		f.ids = append(f.ids, f.batch[i].row.Email)
	}
	next := 0
	return func(id store.EmailID) *fetchRow {
		for f.batch[next].row.Email != id {
			next++
		}
		next++
		return &f.batch[next-1]
	}
}

// response prints one FETCH response. With b there is content, and no facts are needed.
func (f *fetcher) response(out []byte, r *fetchRow, facts *store.Facts, b *body) []byte {
	out = f.appendFetchHead(out, r.number)
	for i := range f.plan.items {
		if i > 0 {
			out = append(out, ' ')
		}
		out = f.item(out, &f.plan.items[i], &r.row, facts, b)
	}
	return append(out, ")\r\n"...)
}

func (f *fetcher) item(out []byte, item *imap.FetchItem, row *store.Row, facts *store.Facts, b *body) []byte {
	switch item.Kind {
	case imap.FetchUID:
		return appendUIDItem(out, row.UID)
	case imap.FetchModSeq:
		return appendModSeq(out, row.ModSeq)
	}
	out = append(out, item.Label...)
	out = append(out, ' ')
	switch item.Kind {
	case imap.FetchFlags:
		return appendRowFlags(out, f.box.view, *row)
	case imap.FetchInternalDate:
		return appendUnix(out, row.Received)
	case imap.FetchSaveDate:
		return appendUnix(out, row.Saved)
	case imap.FetchSize:
		return strconv.AppendInt(out, row.Size, 10)
	case imap.FetchEnvelope:
		if b != nil {
			return imap.AppendEnvelope(out, b.header())
		}
		return append(out, facts.Envelope...)
	case imap.FetchBodyStructure:
		if b != nil {
			return imap.AppendBodyStructure(out, b.parsed(), true)
		}
		return append(out, facts.BodyStructure...)
	case imap.FetchBodyShort:
		if b != nil {
			return imap.AppendBodyStructure(out, b.parsed(), false)
		}
		return imap.AppendBody(out, facts.BodyStructure)
	}
	out, data, err := b.item(out, item)
	if err != nil && f.failure == nil {
		f.failure = err
	}
	if len(data) < largeData {
		return append(out, data...)
	}
	f.conn.Write(out) // a failure shows when the rest is written; content is never printed inside a View
	f.conn.Write(data)
	return out[:0]
}

func appendUIDItem(out []byte, uid mail.UID) []byte {
	return strconv.AppendUint(append(out, "UID "...), uint64(uid), 10)
}

func appendUnix(out []byte, seconds int64) []byte {
	return imap.AppendDateTime(out, time.Unix(seconds, 0).UTC())
}

// output lends a buffer for responses.
func (srv *Server) output() *[]byte {
	if out, ok := srv.outputs.Get().(*[]byte); ok {
		return out
	}
	return new([]byte)
}

// release gives the buffer back, unless a large message made it large.
func (f *fetcher) release() {
	if f.out != nil && cap(*f.out) <= keptOutput {
		f.srv.outputs.Put(f.out)
	}
}
