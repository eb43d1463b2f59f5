package classifier

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/message"
)

// sample makes a message of some words of a class, others of both.
func sample(class Class, n int) *message.Message {
	r := rand.New(rand.NewPCG(uint64(class), uint64(n)))
	own := map[Class]string{Ham: "meeting compiler review branch kernel patch lunch", Spam: "viagra winner lottery cheap pills offer casino"}[class]
	words := append(strings.Fields(own), strings.Fields("please the of and today hello with from your")...)
	var b strings.Builder
	fmt.Fprintf(&b, "From: p%d@host%d.example\r\nSubject: %s %s\r\nMessage-ID: <%d.%d@x.example>\r\n\r\n", n%40, n%7,
		words[r.IntN(len(words))], words[r.IntN(len(words))], class, n)
	for range 60 {
		b.WriteString(words[r.IntN(len(words))] + " ")
	}
	return message.Parse([]byte(b.String()))
}

func teach(t *testing.T, c *Classifier, account mail.AccountID, class Class, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		m := sample(class, n)
		if _, err := c.Learn(t.Context(), account, c.Tokenize(m), Key(m), class); err != nil {
			t.Fatal(err)
		}
	}
}

func score(t *testing.T, c *Classifier, account mail.AccountID, m *message.Message) Opinion {
	t.Helper()
	o, err := c.Score(t.Context(), account, c.Tokenize(m))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestLearnsInAnyOrder(t *testing.T) {
	for name, order := range map[string][]Class{"ham first": {Ham, Spam}, "spam first": {Spam, Ham}} {
		c := New(Config{KV: memkv.New()})
		for _, class := range order {
			teach(t, c, 0, class, 0, 200)
		}
		for n := 1000; n < 1050; n++ {
			if o := score(t, c, 0, sample(Spam, n)); !o.Sure || o.Spam < Threshold {
				t.Errorf("%s: spam %d: %+v", name, n, o)
			}
			if o := score(t, c, 0, sample(Ham, n)); !o.Sure || o.Spam > 0.1 {
				t.Errorf("%s: ham %d: %+v", name, n, o)
			}
		}
		o := score(t, c, 0, sample(Spam, 1000))
		if len(o.For) != topWords || o.For[0].Weight < o.For[4].Weight || !strings.Contains(fmt.Sprint(o.For), "\"") {
			t.Errorf("%s: words %+v", name, o.For)
		}
	}
}

func TestNoOpinionBeforeEnough(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	teach(t, c, 0, Spam, 0, 200)
	teach(t, c, 0, Ham, 0, minGlobal-1)
	if o := score(t, c, 0, sample(Spam, 1)); o.Sure || o.Spam != 0.5 {
		t.Errorf("with %d ham: %+v", minGlobal-1, o)
	}
	teach(t, c, 0, Ham, minGlobal-1, minGlobal)
	if o := score(t, c, 0, sample(Spam, 1)); !o.Sure {
		t.Errorf("with %d ham: %+v", minGlobal, o)
	}
}

// A lesson taken back takes with it all that its message taught, also when it was rehearsed: in whatever
// order messages are forgotten, nothing is left.
func TestForgettingRestores(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	var tokens []*Tokens
	for n := range 40 {
		tokens = append(tokens, c.Tokenize(sample(Ham+Class(n%2), n)))
		if _, err := c.Learn(t.Context(), 0, tokens[n], fmt.Sprint(n), Ham+Class(n%2)); err != nil {
			t.Fatal(err)
		}
		if n == 20 {
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, n := range rand.Perm(40) {
		if known, err := c.Forget(t.Context(), 0, tokens[n], fmt.Sprint(n)); !known || err != nil {
			t.Fatalf("forget %d: %v, %v", n, known, err)
		}
	}
	if s := c.global.stats(); s.Used != 0 || s.Ham != 0 || s.Spam != 0 {
		t.Errorf("after forgetting all: %+v", s)
	}
	if known, err := c.Forget(t.Context(), 0, tokens[0], "0"); known || err != nil {
		t.Errorf("forgot twice: %v, %v", known, err)
	}
}

func TestLearningTwiceChangesNothing(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	m := sample(Spam, 1)
	tokens := c.Tokenize(m)
	for i, want := range []struct {
		class Class
		news  bool
		stats Stats
	}{{Spam, true, Stats{Spam: 1}}, {Spam, false, Stats{Spam: 1}}, {Ham, true, Stats{Ham: 1}}, {Ham, false, Stats{Ham: 1}}} {
		news, err := c.Learn(t.Context(), 0, tokens, "key", want.class)
		got, statsErr := c.Stats(t.Context(), 0)
		if news != want.news || err != nil || statsErr != nil || got.Ham != want.stats.Ham || got.Spam != want.stats.Spam {
			t.Errorf("%d: %v, %v, %+v", i, news, err, got)
		}
		if err := c.Flush(t.Context()); err != nil { // what is written is known as well as what is not
			t.Fatal(err)
		}
	}
}

func TestLessonsOutliveTheProcess(t *testing.T) {
	store := memkv.New()
	c := New(Config{KV: store})
	teach(t, c, 0, Spam, 0, 100)
	teach(t, c, 0, Ham, 0, 100)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	teach(t, c, 0, Ham, 100, 101) // not written: lost
	after := New(Config{KV: store.Crash()})
	if got, err := after.Stats(t.Context(), 0); err != nil || got.Ham != 100 || got.Spam != 100 {
		t.Errorf("after the crash %+v, %v", got, err)
	}
	if len(after.global.kept.pages[0]) != 100 || len(after.global.kept.pages[1]) != 100 {
		t.Errorf("notebook: %d and %d", len(after.global.kept.pages[0]), len(after.global.kept.pages[1]))
	}
}

// Two nodes on one database end with the same model, which holds the lessons of both.
func TestNodesAddUp(t *testing.T) {
	store := memkv.New()
	a, b := New(Config{KV: store}), New(Config{KV: store})
	for round := range 2 * maxBatches / 10 { // over folds of the log as well
		for i, c := range []*Classifier{a, b} {
			n := round*2 + i
			teach(t, c, 0, Ham+Class(n%2), n, n+1)
		}
		for range 5 {
			teach(t, a, 0, Ham, 10_000+round, 10_001+round)
			if err := a.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fresh := New(Config{KV: store})
	for _, c := range []*Classifier{a, b, fresh} {
		if _, err := c.Stats(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range fresh.global.slots {
		if a.global.slots[i] != s || b.global.slots[i] != s {
			t.Fatalf("slot %d: %v and %v, stored %v", i, a.global.slots[i], b.global.slots[i], s)
		}
	}
	if a.global.totals != fresh.global.totals || b.global.totals != fresh.global.totals || fresh.global.totals.ham < 40 {
		t.Errorf("totals %v, %v, stored %v", a.global.totals, b.global.totals, fresh.global.totals)
	}
}

// doubtful is a store whose commits succeed and then say that nobody knows.
type doubtful struct {
	*memkv.Store
	left int
}

func (d *doubtful) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	v, err := d.Store.Update(ctx, p, fn)
	if d.left--; d.left >= 0 && err == nil {
		return 0, kv.ErrUnknown
	}
	return v, err
}

func TestUnknownOutcomeCountsOnce(t *testing.T) {
	store := &doubtful{memkv.New(), 2}
	c := New(Config{KV: store})
	teach(t, c, 0, Spam, 0, 30)
	for c.Flush(t.Context()) != nil {
		teach(t, c, 0, Ham, store.left+10, store.left+11)
	}
	fresh := New(Config{KV: store})
	got, err := fresh.Stats(t.Context(), 0)
	want := c.global.stats()
	if got.Sure = want.Sure; err != nil || got != want {
		t.Errorf("stored %+v, %v, want %+v", got, err, want)
	}
}

func TestAccountDiffersFromAll(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	teach(t, c, 0, Spam, 0, 200)
	teach(t, c, 0, Ham, 0, 200)
	before := c.global.counts()
	teachAs := func(class Class, n int) {
		m := sample(Spam, n)
		if _, err := c.Learn(t.Context(), 7, c.Tokenize(m), Key(m), class); err != nil {
			t.Fatal(err)
		}
	}
	for n := 300; n < 300+globalFree+50; n++ {
		teachAs(Ham, n) // this one wants what all others call spam
	}
	if o := score(t, c, 7, sample(Spam, 2000)); o.Spam > 0.5 {
		t.Errorf("for the account: %+v", o)
	}
	after := c.global.counts()
	if n := after.ham - before.ham; n != globalFree {
		t.Errorf("the account taught the model for all %d messages, want %d", n, globalFree)
	}
	if err := c.Erase(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Stats(t.Context(), 7); err != nil || s.Ham != 0 {
		t.Errorf("after Erase: %+v, %v", s, err)
	}
}

func TestAccountsInMemoryAreBounded(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	for id := mail.AccountID(1); id <= maxTables+20; id++ {
		teach(t, c, id, Spam, int(id), int(id)+1)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		score(t, c, id, sample(Ham, 1))
	}
	for id := mail.AccountID(1000); id < 1000+maxAccounts; id++ {
		score(t, c, id, sample(Ham, 1))
	}
	tables := 0
	for _, m := range c.accounts.byID {
		if m.slots != nil {
			tables++
		}
	}
	if tables > maxTables || len(c.accounts.byID) > maxAccounts || c.accounts.recent.Len() != len(c.accounts.byID) {
		t.Errorf("%d tables of %d accounts", tables, len(c.accounts.byID))
	}
	if s, err := c.Stats(t.Context(), 1); err != nil || s.Spam != 1 {
		t.Errorf("an account that was dropped: %+v, %v", s, err)
	}
}

func TestRunWritesWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		c := New(Config{KV: store})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		teach(t, c, 3, Spam, 0, 2)
		time.Sleep(flushEvery + time.Millisecond)
		synctest.Wait()
		if s, err := New(Config{KV: store}).Stats(t.Context(), 3); err != nil || s.Spam != 2 {
			t.Errorf("after %v: %+v, %v", flushEvery, s, err)
		}
		teach(t, c, 3, Spam, 2, 3)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s, err := New(Config{KV: store}).Stats(t.Context(), 3); err != nil || s.Spam != 3 {
			t.Errorf("after the end: %+v, %v", s, err)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	teach(t, c, 0, Spam, 0, 60)
	teach(t, c, 0, Ham, 0, 60)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for n := range 30 {
				m := sample(Ham+Class(n%2), 100*g+n)
				tokens := c.Tokenize(m)
				c.Score(t.Context(), mail.AccountID(g%3), tokens)
				c.Learn(t.Context(), mail.AccountID(g%3), tokens, Key(m), Ham+Class(n%2))
				if n%10 == 0 {
					c.Flush(t.Context())
				}
			}
		})
	}
	all.Wait()
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestMemoriesAreBounded(t *testing.T) {
	many := map[uint32]int{100: 5_000, 99: 10_000, 98: 10_000, 97: 1}
	if oldest, room := fitting(many, 100); oldest != 98 || room != 5_000 {
		t.Errorf("day %d, room %d", oldest, room)
	}
	if oldest, _ := fitting(map[uint32]int{300: 1, 300 - keepDays - 1: 1}, 300); oldest != 300-keepDays {
		t.Errorf("kept from day %d", oldest)
	}
}

// Padding spam with many words that nobody has learned does not make it ham.
func TestWordSalad(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	teach(t, c, 0, Spam, 0, 300)
	teach(t, c, 0, Ham, 0, 300)
	base := sample(Spam, 5000)
	salad := bytes.Clone(base.Content)
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		for range 8 {
			salad = append(salad, byte('a'+r.IntN(26)))
		}
		salad = append(salad, ' ')
	}
	if o := score(t, c, 0, message.Parse(salad)); o.Spam < Threshold {
		t.Errorf("with 300 words of salad: %+v, without: %+v", o, score(t, c, 0, base))
	}
}

// An account keeps no long messages for rehearsing.
func TestAccountModelIsSmall(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	for n := range 3 * accountKept {
		var text strings.Builder
		for i := range 300 + 200*(n%2) {
			fmt.Fprintf(&text, "w%c%c%c ", 'a'+n%26, 'a'+i%26, 'a'+i/26)
		}
		m := message.Parse([]byte("Subject: x\r\n\r\n" + text.String()))
		if _, err := c.Learn(t.Context(), 5, c.Tokenize(m), fmt.Sprint(n), Ham+Class(n/2%2)); err != nil {
			t.Fatal(err)
		}
	}
	kept, places := 0, 0
	for _, pages := range c.accounts.byID[5].kept.pages {
		kept += len(pages)
		for _, p := range pages {
			places += len(p.places)
		}
	}
	if bytes := 8<<accountBits + 4*places; kept == 0 || kept > 2*accountKept || bytes > 256<<10 {
		t.Errorf("%d messages and %d bytes", kept, bytes)
	}
}
