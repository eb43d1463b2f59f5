package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"

	"posthaste/directory"
	"posthaste/trace"
)

// maxRequest bounds the JSON object of a request, in bytes.
const maxRequest = 1 << 20

// A line is one line of an answer: an item or, as the last one, an error.
type line struct {
	Item  any    `json:"item,omitempty"`
	Error string `json:"error,omitempty"`
}

// Handler offers every operation as POST /NAME.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	one(mux, "domain/add", func(ctx context.Context, r DomainRequest) (directory.Domain, error) {
		added, err := a.AddDomain(ctx, r)
		if err == nil && !r.Relay {
			err = a.FirstDKIM(ctx, added.Name)
		}
		return added, err
	})
	none(mux, "domain/delete", a.DeleteDomain)
	many(mux, "domain/list", func(ctx context.Context, _ struct{}) iter.Seq2[any, error] { return anySeq(a.Domains(ctx)) })
	one(mux, "account/add", a.AddAccount)
	none(mux, "account/passwd", a.SetPassword)
	none(mux, "account/quota", a.SetQuota)
	one(mux, "account/forward", a.Forward)
	none(mux, "account/delete", a.DeleteAccount)
	many(mux, "account/list", func(ctx context.Context, r DomainRequest) iter.Seq2[any, error] { return anySeq(a.Accounts(ctx, r)) })
	one(mux, "alias/add", a.AddAlias)
	one(mux, "alias/moved", a.SetMoved)
	none(mux, "alias/delete", a.DeleteAlias)
	many(mux, "alias/list", func(ctx context.Context, r DomainRequest) iter.Seq2[any, error] { return anySeq(a.Aliases(ctx, r)) })
	many(mux, "queue/list", func(ctx context.Context, r QueueRequest) iter.Seq2[any, error] { return anySeq(a.QueueList(ctx, r)) })
	one(mux, "queue/show", a.QueueShow)
	one(mux, "queue/do", a.QueueDo)
	one(mux, "queue/stats", a.QueueStats)
	none(mux, "queue/rule/add", a.AddQueueRule)
	none(mux, "queue/rule/remove", a.RemoveQueueRule)
	many(mux, "queue/rule/list", func(ctx context.Context, _ struct{}) iter.Seq2[any, error] { return anySeq(a.QueueRules(ctx)) })
	many(mux, "tlsrpt/list", func(ctx context.Context, _ struct{}) iter.Seq2[any, error] { return anySeq(a.TLSReports(ctx)) })
	one(mux, "tlsrpt/show", a.TLSReport)
	for name, do := range map[string]func(context.Context, DKIMRequest) iter.Seq2[DKIMKey, error]{
		"add": a.AddDKIM, "list": a.DKIMKeys, "rotate": a.RotateDKIM, "activate": a.ActivateDKIM, "delete": a.DeleteDKIM,
	} {
		many(mux, "dkim/"+name, func(ctx context.Context, r DKIMRequest) iter.Seq2[any, error] { return anySeq(do(ctx, r)) })
	}
	many(mux, "dkim/check", func(ctx context.Context, r DKIMRequest) iter.Seq2[any, error] { return anySeq(a.CheckDKIM(ctx, r)) })
	many(mux, "quarantine/list", func(ctx context.Context, r QuarantineRequest) iter.Seq2[any, error] {
		return anySeq(a.QuarantineList(ctx, r))
	})
	one(mux, "quarantine/show", a.QuarantineShow)
	none(mux, "quarantine/release", a.QuarantineRelease)
	none(mux, "quarantine/delete", a.QuarantineDelete)
	many(mux, "dnsbl/list", func(ctx context.Context, _ struct{}) iter.Seq2[any, error] { return anySeq(a.DNSBLList(ctx)) })
	one(mux, "dnsbl/check", a.DNSBLCheck)
	a.handleBans(mux)
	one(mux, "expect", a.Expect)
	many(mux, "dmarc/list", func(ctx context.Context, r ReportsRequest) iter.Seq2[any, error] {
		return anySeq(a.DMARCReports(ctx, r))
	})
	one(mux, "dmarc/show", a.DMARCReport)
	many(mux, "dmarc/summary", func(ctx context.Context, r SummaryRequest) iter.Seq2[any, error] {
		return anySeq(a.DMARCSummary(ctx, r))
	})
	many(mux, "arf/list", func(ctx context.Context, r ReportsRequest) iter.Seq2[any, error] { return anySeq(a.ARFReports(ctx, r)) })
	one(mux, "arf/show", a.ARFReport)
	none(mux, "dlp/fingerprint/add", a.AddDocument)
	none(mux, "dlp/fingerprint/delete", a.DeleteDocument)
	many(mux, "dlp/fingerprint/list", func(ctx context.Context, _ struct{}) iter.Seq2[any, error] { return anySeq(a.Documents(ctx)) })
	mux.HandleFunc("POST /spam/learn", a.serveLearnSpam)
	one(mux, "spam/stats", a.SpamStats)
	one(mux, "spam/test", a.TestSpam)
	none(mux, "reload", a.Reload)
	one(mux, "explain", a.Explain)
	many(mux, "explain/message", func(ctx context.Context, r VerdictRequest) iter.Seq2[any, error] { return events(a.Verdicts(ctx, r)) })
	many(mux, "trace", func(ctx context.Context, r TraceRequest) iter.Seq2[any, error] {
		return events(a.Trace(ctx, r))
	})
	many(mux, "mailbox/list", func(ctx context.Context, r MailboxRequest) iter.Seq2[any, error] { return anySeq(a.Mailboxes(ctx, r)) })
	mux.HandleFunc("POST /mailbox/import", a.serveImport)
	mux.HandleFunc("POST /mailbox/export", a.serveExport)
	return mux
}

// one offers an operation that answers with one object.
func one[Req, Resp any](mux *http.ServeMux, name string, do func(context.Context, Req) (Resp, error)) {
	many(mux, name, func(ctx context.Context, r Req) iter.Seq2[any, error] {
		return func(yield func(any, error) bool) {
			resp, err := do(ctx, r)
			yield(resp, err)
		}
	})
}

// none offers an operation that answers with nothing but success.
func none[Req any](mux *http.ServeMux, name string, do func(context.Context, Req) error) {
	many(mux, name, func(ctx context.Context, r Req) iter.Seq2[any, error] {
		return func(yield func(any, error) bool) {
			if err := do(ctx, r); err != nil {
				yield(nil, err)
			}
		}
	})
}

// many offers an operation that answers with any number of objects.
func many[Req any](mux *http.ServeMux, name string, do func(context.Context, Req) iter.Seq2[any, error]) {
	mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
		var request Req
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&request); err != nil {
			writeLines(w, func(yield func(any, error) bool) { yield(nil, fmt.Errorf("admin: request %s: %w", name, err)) })
			return
		}
		writeLines(w, do(r.Context(), request))
	})
}

// An appender prints itself as JSON, faster than by reflection.
type appender interface {
	AppendJSON(b []byte) []byte
}

func writeLines(w http.ResponseWriter, items iter.Seq2[any, error]) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	buffered := bufio.NewWriterSize(w, 64<<10)
	defer buffered.Flush()
	lines := json.NewEncoder(buffered)
	var text []byte
	for item, err := range items {
		if e, ok := item.(appender); ok && err == nil {
			text = append(e.AppendJSON(append(text[:0], `{"item":`...)), "}\n"...)
			if _, err := buffered.Write(text); err != nil {
				return
			}
			continue
		}
		l := line{Item: item}
		if err != nil {
			l = line{Error: err.Error()}
		}
		if lines.Encode(l) != nil || err != nil {
			return
		}
	}
	lines.Encode(struct {
		Done bool `json:"done"`
	}{true})
}

// events yields what a search of the trace found, then its error.
func events(found []trace.Event, err error) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for _, e := range found {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func anySeq[T any](items iter.Seq2[T, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for item, err := range items {
			if !yield(item, err) {
				return
			}
		}
	}
}
