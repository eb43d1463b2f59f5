package store

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"posthaste/blob/memblob"
	"posthaste/kv/memkv"
	"posthaste/kv/pebblekv"
	"posthaste/mail"
)

// benchStore returns a store on disk with accounts 1 to n.
func benchStore(b *testing.B, accounts int) *Store {
	b.Helper()
	db, err := pebblekv.Open(pebblekv.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{KV: db, Blobs: memblob.New()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		s.Close()
		db.Close()
	})
	for i := range accounts {
		if err := s.Create(ctx, mail.AccountID(i+1), 0); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// words is text that compresses about as mail does.
func words(n, seed int) string {
	const list = "the of and meeting tomorrow please find attached report invoice regarding your order has been shipped with best regards from team budget review notes agenda schedule call update project status question about delivery payment confirmation account security notice weekly"
	all := strings.Fields(list)
	var s strings.Builder
	x := uint32(seed*2654435761 + 1)
	for s.Len() < n {
		x = x*1664525 + 1013904223
		if x>>28 == 0 {
			fmt.Fprintf(&s, "%x", x)
		}
		s.WriteString(all[x>>16%uint32(len(all))])
		if x>>20&15 == 0 {
			s.WriteString("\r\n")
		} else {
			s.WriteByte(' ')
		}
	}
	return s.String()
}

func benchMail(i, size int) []byte {
	return []byte(fmt.Sprintf("Message-ID: <%d.bench@client.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n", i) +
		string(content(fmt.Sprint("message ", i, " of the bench"), words(size-300, i))))
}

const benchPrefix = "Return-Path: <ann@client.example>\r\nDelivered-To: bob@south.test\r\n" +
	"Received: from client.example (client.example [192.0.2.1])\r\n\tby mx.south.test with ESMTPS id 01hx0000000000ab\r\n\tfor <bob@south.test>; Tue, 3 Nov 2026 10:00:00 +0100\r\n"

// BenchmarkDeliver stores 4 KB messages, each parsed and packed anew, with a number of writers.
func BenchmarkDeliver(b *testing.B) {
	for _, writers := range []int{1, 10, 50} {
		b.Run(fmt.Sprint(writers, "_writers"), func(b *testing.B) { benchDeliver(b, writers, 20) })
	}
	b.Run("50_writers_one_account", func(b *testing.B) { benchDeliver(b, 50, 1) })
}

func benchDeliver(b *testing.B, writers, accounts int) {
	s := benchStore(b, accounts)
	mails := make([][]byte, 500)
	for i := range mails {
		mails[i] = benchMail(i, 4096)
	}
	var next atomic.Int64
	b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(next.Add(1))
			m, err := s.Prepare(context.Background(), mails[i%len(mails)])
			if err != nil {
				b.Fatal(err)
			}
			d := Delivery{ID: fmt.Sprint("id", i), Fresh: true, Prefix: []byte(benchPrefix), Message: m, Received: time.Now()}
			if _, err := s.Account(mail.AccountID(i%accounts+1)).Deliver(context.Background(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/mail")
}

// cpuTime returns the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPrepare parses and packs a 4 KB message.
func BenchmarkPrepare(b *testing.B) {
	s, err := New(Config{KV: memkv.New()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	raw := benchMail(1, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Prepare(context.Background(), raw); err != nil {
			b.Fatal(err)
		}
	}
}

// benchFull returns an account whose INBOX holds n messages, all chunks written.
func benchFull(b *testing.B, n int) *Account {
	s := benchStore(b, 1)
	a := s.Account(1)
	m, err := s.Prepare(context.Background(), content("x", "y"))
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]Append, 5000)
	for i := range batch {
		batch[i] = Append{Message: m, Received: time.Unix(1_800_000_000+int64(i)*60, 0)}
	}
	for ; n > 0; n -= len(batch) {
		if _, err := a.Append(context.Background(), Inbox, batch[:min(n, len(batch))]); err != nil {
			b.Fatal(err)
		}
	}
	if err := a.snapshot(context.Background(), 1); err != nil {
		b.Fatal(err)
	}
	return a
}

func benchView(b *testing.B, a *Account) *View {
	v, err := a.View(context.Background(), Inbox)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func benchSelect(b *testing.B, n int) {
	a := benchFull(b, n)
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.forget()
			v := benchView(b, a)
			if v.FirstUnseen() != 0 || v.Len() != n {
				b.Fatal("wrong view")
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			benchView(b, a).FirstUnseen()
		}
	})
	b.Run("rows", func(b *testing.B) {
		v := benchView(b, a)
		for b.Loop() {
			var size int64
			for _, row := range v.Rows(0, v.Len()) {
				size += row.Size
			}
		}
	})
	b.Run("search_unseen", func(b *testing.B) {
		v := benchView(b, a)
		unseen := Criterion{Key: SearchNot, Children: []Criterion{{Key: SearchKeyword, Text: `\Seen`}}}
		for b.Loop() {
			if found, err := a.Search(context.Background(), v, unseen); err != nil || len(found) != n {
				b.Fatal(len(found), err)
			}
		}
	})
	b.Run("search_subject", func(b *testing.B) {
		v := benchView(b, a)
		for b.Loop() {
			if found, err := a.Search(context.Background(), v, Criterion{Key: SearchSubject, Text: "nowhere"}); err != nil || len(found) != 0 {
				b.Fatal(len(found), err)
			}
		}
	})
	b.Run("flag_all", func(b *testing.B) {
		benchView(b, a)
		op := AddFlags
		for b.Loop() {
			r, err := a.SetFlags(context.Background(), Inbox, FlagChange{UIDs: AllUIDs(), Op: op, Flags: []string{`\Flagged`}})
			if err != nil || len(r.Changed) != n {
				b.Fatal(len(r.Changed), err)
			}
			old := benchView(b, a)
			if old.At(n-1).ModSeq != r.ModSeq {
				b.Fatal("not flagged")
			}
			op = RemoveFlags - op
		}
	})
}

func BenchmarkMailbox100k(b *testing.B) { benchSelect(b, 100_000) }
func BenchmarkMailbox1M(b *testing.B)   { benchSelect(b, 1_000_000) }

// BenchmarkAppend stores 4 KB messages into one mailbox that a session watches.
func BenchmarkAppend(b *testing.B) {
	s := benchStore(b, 1)
	a := s.Account(1)
	raw := benchMail(1, 4096)
	b.SetParallelism(5)
	cpu := cpuTime()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m, err := s.Prepare(context.Background(), raw)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := a.Append(context.Background(), Inbox, []Append{{Message: m}}); err != nil {
				b.Fatal(err)
			}
			benchView(b, a)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/mail")
}
