package quarantine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/blob"
	"posthaste/blob/memblob"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/queue"
	"posthaste/trace"
)

// A world is a quarantine with the real parts around it.
type world struct {
	*Quarantine
	t      *testing.T
	keys   *memkv.Store
	blobs  *memblob.Store
	queue  *queue.Queue
	dir    *directory.Directory
	policy Policy
	now    time.Time
	events recorder
	taught []string
	ann    mail.AccountID
}

type recorder struct {
	mu     sync.Mutex // guards events
	events []trace.Event
}

func (r *recorder) Record(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) count(text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if strings.Contains(e.Text+" "+e.Reason, text) {
			n++
		}
	}
	return n
}

func (w *world) Learn(_ context.Context, account mail.AccountID, content []byte, spam bool) error {
	w.taught = append(w.taught, fmt.Sprintf("%d %v %d", account, spam, len(content)))
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, keys: memkv.New(), blobs: memblob.New(), now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
		policy: Policy{Keep: 30 * 24 * time.Hour, Digest: "daily", Hour: 7, URL: "https://mx.north.test"}}
	w.open()
	if _, err := w.dir.AddDomain(t.Context(), "north.test", directory.DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	account, err := w.dir.AddAccount(t.Context(), address("ann@north.test"), directory.AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.ann = account.ID
	return w
}

// open makes the parts that a restart makes anew.
func (w *world) open() {
	w.dir = directory.New(w.keys, directory.Config{})
	w.t.Cleanup(w.dir.Close)
	w.queue = queue.New(queue.Config{KV: w.keys, Blobs: w.blobs, Hostname: "mx.north.test", Node: 1, Clock: func() time.Time { return w.now }})
	w.Quarantine = New(Config{KV: w.keys, Blobs: w.blobs, Queue: w.queue, Directory: w.dir, Teacher: w,
		Secret:   func(ctx context.Context) ([]byte, error) { return w.dir.Secret(ctx, "quarantine") },
		Policy:   func() Policy { return w.policy },
		Hostname: "mx.north.test", From: address("postmaster@north.test"),
		Clock: func() time.Time { return w.now }, Trace: &w.events})
}

// crash plays a power cut.
func (w *world) crash() {
	w.keys = w.keys.Crash()
	w.open()
}

func address(s string) mail.Address {
	local, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: local, Domain: domain}
}

const letter = "From: =?utf-8?q?J=C3=B6rg?= <joerg@else.test>\r\nTo: ann@north.test\r\nSubject: buy now\r\nMessage-ID: <m1@else.test>\r\n\r\nCheap <b>things</b>.\r\n"

// item returns a message for recipients under the n-th queue ID of this moment.
func (w *world) item(n uint32, recipients ...string) Item {
	env := mail.Envelope{ID: mail.NewQueueID(w.now, 1, n), From: mail.ReversePath{Address: address("joerg@else.test")}, Received: w.now}
	item := Item{Envelope: env, Content: []byte(letter), Verdict: mail.Verdict{Action: mail.Quarantine, Reason: "its sender is not who it claims to be"}}
	for _, r := range recipients {
		item.Recipients = append(item.Recipients, mail.Recipient{Address: address(r)})
	}
	return item
}

func (w *world) put(item Item) ID {
	w.t.Helper()
	id, err := w.Put(w.t.Context(), item)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// queued returns what lies in the queue.
func (w *world) queued() (list []*queue.Entry) {
	w.t.Helper()
	for e, err := range w.queue.List(w.t.Context(), queue.Filter{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func (w *world) content(e *queue.Entry) string {
	w.t.Helper()
	content, err := w.queue.ReadContent(w.t.Context(), e.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(content.Bytes())
}

// empty fails when a bucket holds more than what is remembered of messages that have left.
func (w *world) empty() {
	w.t.Helper()
	for n := range buckets {
		err := w.keys.View(w.t.Context(), bucket(n), func(r kv.Reader) error {
			seq, errf := r.Scan(nil, nil, false)
			for key, value := range seq {
				if strings.IndexByte("lntwR", key[0]) >= 0 || key[0] == 's' && value[0] != 0 {
					w.t.Errorf("bucket %x still has %q = %x", n, key, value)
				}
			}
			return errf()
		})
		if err != nil {
			w.t.Error(err)
		}
	}
	blobs := 0
	if err := w.blobs.List(w.t.Context(), func(blob.Name, int64) error { blobs++; return nil }); err != nil || blobs > 0 {
		w.t.Errorf("%d blobs are left, %v", blobs, err)
	}
}

func TestPutIsIdempotentAndSurvivesACrash(t *testing.T) {
	w := newWorld(t)
	item := w.item(1, "ann@north.test", "Bob@relay.test")
	id := w.put(item)
	w.crash()
	slices.Reverse(item.Recipients)
	if again := w.put(item); again != id {
		t.Errorf("the same message got %s, then %s", id, again)
	}
	other := w.put(w.item(1, "ann@north.test"))
	if other == id {
		t.Error("the same queue ID for other recipients is another message")
	}
	list, err := w.List(t.Context(), Filter{})
	if err != nil || len(list) != 2 {
		t.Fatalf("got %d messages, %v; want 2", len(list), err)
	}
	shown, err := w.Show(t.Context(), id)
	if err != nil || !strings.HasPrefix(shown.Header, "From: =?utf") || !strings.HasPrefix(shown.Preview, "Cheap") ||
		shown.Author != "Jörg <joerg@else.test>" || shown.Subject != "buy now" || shown.Reason != "its sender is not who it claims to be" {
		t.Errorf("got %+v, %v", shown, err)
	}
	if n := w.events.count("kept apart"); n != 3 {
		t.Errorf("%d events of keeping, want one for each recipient: 3", n)
	}
}

func TestPutRefusesWhatIsOverItsBounds(t *testing.T) {
	w := newWorld(t)
	many := w.item(1)
	for i := range MaxRecipients + 1 {
		many.Recipients = append(many.Recipients, mail.Recipient{Address: address(fmt.Sprintf("u%d@north.test", i))})
	}
	nameless := w.item(1, "ann@north.test")
	nameless.Envelope.ID = ""
	for name, item := range map[string]Item{"nobody": w.item(1), "too many": many, "no queue ID": nameless} {
		if _, err := w.Put(t.Context(), item); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	many.Recipients = many.Recipients[1:]
	w.put(many)
}

func TestListByUser(t *testing.T) {
	w := newWorld(t)
	if err := w.dir.AddAlias(t.Context(), address("info@north.test"), []mail.Address{address("ann@north.test")}); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(40) {
		to := []string{"ann@north.test", "info@north.test", "bob@relay.test"}[i%3]
		w.put(w.item(i, to))
		w.now = w.now.Add(time.Minute)
	}
	for _, c := range []struct {
		name   string
		filter Filter
		want   int
	}{
		{"all", Filter{}, 40},
		{"an account, by all its addresses", Filter{Account: w.ann}, 27},
		{"an address in any case", Filter{Recipient: address("BOB@relay.test")}, 13},
		{"an address and an account", Filter{Account: w.ann, Recipient: address("info@north.test")}, 13},
		{"the newest", Filter{Limit: 7}, 7},
		{"since", Filter{Since: w.now.Add(-10 * time.Minute)}, 10},
		{"nobody", Filter{Recipient: address("b@relay.test")}, 0},
	} {
		list, err := w.List(t.Context(), c.filter)
		if err != nil || len(list) != c.want {
			t.Errorf("%s: got %d, %v; want %d", c.name, len(list), err, c.want)
		}
		if !slices.IsSortedFunc(list, func(a, b Entry) int { return b.Time.Compare(a.Time) }) {
			t.Errorf("%s: not the newest first", c.name)
		}
	}
}

func TestReleaseDeliversOnceAndTeaches(t *testing.T) {
	w := newWorld(t)
	id := w.put(w.item(1, "ann@north.test", "bob@relay.test"))
	w.now = w.now.Add(20 * 24 * time.Hour) // longer than the queue keeps mail
	for range 2 {
		if err := w.Release(t.Context(), id, Choice{Recipients: []mail.Address{address("ANN@north.test")}, By: "ann"}); err != nil {
			t.Fatal(err)
		}
		w.crash()
	}
	queued := w.queued()
	if len(queued) != 1 || queued[0].Recipients[0].Address != address("ann@north.test") || w.content(queued[0]) != letter {
		t.Fatalf("queued %+v", queued)
	}
	if want := []string{fmt.Sprintf("%d false %d", w.ann, len(letter))}; !slices.Equal(w.taught, want) {
		t.Errorf("taught %q, want %q", w.taught, want)
	}
	if n := w.events.count("released from the quarantine by ann"); n != 1 {
		t.Errorf("%d events of the release", n)
	}
	if err := w.Delete(t.Context(), id, Choice{Recipients: []mail.Address{address("ann@north.test")}}); !errors.Is(err, ErrGone) {
		t.Errorf("delete what was released: %v", err)
	}
	if err := w.Release(t.Context(), id, Choice{Recipients: []mail.Address{address("eve@north.test")}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("release to somebody else: %v", err)
	}
	if err := w.Release(t.Context(), id, Choice{}); err != nil {
		t.Errorf("release to the rest: %v", err)
	}
	if len(w.queued()) != 2 {
		t.Errorf("%d messages in the queue, want 2", len(w.queued()))
	}
	w.empty()
	if _, err := w.Put(t.Context(), w.item(1, "eve@north.test")); err != nil {
		t.Error(err)
	}
}

// Between the queue's commit and ours the power may fail; what then happens again must not show.
func TestACrashInReleaseDeliversOnce(t *testing.T) {
	w := newWorld(t)
	id := w.put(w.item(1, "ann@north.test"))
	r, content, err := w.load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.deliver(t.Context(), r, content, &r.Recipients[0]); err != nil {
		t.Fatal(err)
	}
	w.crash()
	if err := w.Release(t.Context(), id, Choice{}); err != nil || len(w.queued()) != 1 {
		t.Errorf("%v, %d in the queue; want 1", err, len(w.queued()))
	}
	w.empty()
}

func TestDeleteTeachesSpamOnRequest(t *testing.T) {
	w := newWorld(t)
	one, two := w.put(w.item(1, "ann@north.test")), w.put(w.item(2, "ann@north.test"))
	if err := errors.Join(w.Delete(t.Context(), one, Choice{}), w.Delete(t.Context(), two, Choice{Spam: true})); err != nil {
		t.Fatal(err)
	}
	if want := []string{fmt.Sprintf("%d true %d", w.ann, len(letter))}; !slices.Equal(w.taught, want) {
		t.Errorf("taught %q, want %q", w.taught, want)
	}
	if len(w.queued()) != 0 {
		t.Error("deleted mail was queued")
	}
	if err := w.Delete(t.Context(), two, Choice{}); err != nil {
		t.Errorf("delete again: %v", err)
	}
	if err := w.Release(t.Context(), two, Choice{}); !errors.Is(err, ErrGone) {
		t.Errorf("release what was deleted: %v", err)
	}
	w.empty()
}

func TestLargeContentLiesInABlobThatTheSweepKnows(t *testing.T) {
	w := newWorld(t)
	item := w.item(1, "ann@north.test")
	noise := make([]byte, 2<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(noise)
	item.Content = append(item.Content, noise...)
	id := w.put(item)
	w.put(item) // leaves no second blob
	r, content, err := w.load(t.Context(), id)
	if err != nil || !bytes.Equal(content, item.Content) {
		t.Fatalf("%d bytes, %v", len(content), err)
	}
	err = w.keys.View(t.Context(), bucketOf(id), func(reader kv.Reader) error {
		_, err := reader.Get(append([]byte("R"), r.Blob...)) // what store's sweep looks for
		return err
	})
	if err != nil {
		t.Errorf("no reference to the blob: %v", err)
	}
	if err := w.Delete(t.Context(), id, Choice{}); err != nil {
		t.Fatal(err)
	}
	w.empty()
}

func TestOutgoingMailIsItsSendersAndGoesOutWhenReleased(t *testing.T) {
	w := newWorld(t)
	item := w.item(1, "eve@else.test")
	item.Outgoing, item.Envelope.Origin.Account = true, w.ann
	id := w.put(item)
	if list, err := w.List(t.Context(), Filter{Account: w.ann}); err != nil || len(list) != 1 {
		t.Errorf("the sender sees %d, %v", len(list), err)
	}
	if err := w.Release(t.Context(), id, Choice{}); err != nil || len(w.queued()) != 1 || len(w.taught) != 0 {
		t.Errorf("%v; queued %d, taught %q", err, len(w.queued()), w.taught)
	}
}

func TestTrustIsTheOwnersAlone(t *testing.T) {
	w := newWorld(t)
	id := w.put(w.item(1, "ann@north.test", "bob@relay.test"))
	if err := w.Release(t.Context(), id, Choice{Owner: Owner(w.ann, mail.Address{}), Trust: true}); err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[string]bool{Owner(w.ann, mail.Address{}): true, Owner(0, address("bob@relay.test")): false} {
		if got, err := w.Trusted(t.Context(), owner, "Joerg@Else.test"); err != nil || got != want {
			t.Errorf("%s: %v, %v", owner, got, err)
		}
	}
	if got, err := w.Trusted(t.Context(), Owner(w.ann, mail.Address{}), "eve@else.test"); err != nil || got {
		t.Errorf("another author is trusted: %v, %v", got, err)
	}
}
