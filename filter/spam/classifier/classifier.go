// Package classifier is the statistical judge of spam: it learns from messages that people called
// spam or ham (wanted), and says of a new one how likely it is to be spam, and by which of its words.
//
// [Classifier.Tokenize] turns a message into [Tokens] once; [Classifier.Score] judges them for an
// account in some tens of microseconds. The model is linear over hashed features (words, pairs of
// words, the looks of header and HTML, the hosts on the way), trained by its mistakes: a message that it already judges
// rightly and clearly changes nothing. What it holds of a feature are sums over lessons, so that
// lessons can be taken back exactly, in any order, and several nodes add theirs to one database.
//
// There is one model for all, of 8 MiB, and a small one for each account that taught something, of
// 128 KiB. The small one learns only where the large one errs for that account, and is added to it. What
// an account teaches goes into the large one as well, up to a share: see globalShare.
//
// What is learned lies in memory until [Classifier.Run] or [Classifier.Flush] writes it, some seconds
// later: a crash loses those lessons, nothing else. Each message is remembered for half a year as long
// as there is room, so that learning it twice changes nothing and the other class takes the first back.
//
// The model for all judges in two views that learn apart: by what can be said of any mail, and by
// everything, the way that a message took and its mailing list included, whose say is bounded. Mail of
// a kind that nobody has taught yet is then not distrusted for the way it comes.
//
// The package does not decide what becomes of a message, and reads nothing but the message itself, the
// host that hands it over included: no DNS. Partitions "spam/global" and "spam/account/<id>": docs/formats/spam.md.
//
// Lock order: Classifier.learning, Classifier.mu; model.syncing, model.mu; none of the first pair
// within the second.
package classifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// When there is an opinion.
const (
	minGlobal  = 50 // messages of each class that the model for all must have learned
	minAccount = 10 // messages in all from which on an account's own model counts
)

// globalShare is which part of the messages in the model for all one account may have taught, 1 in so
// many, once it has taught globalFree. Beyond it only the account's own model learns.
const (
	globalShare = 10
	globalFree  = 200
)

// flushEvery is for how long lessons lie in memory alone.
const flushEvery = 3 * time.Second

// Config is what a Classifier needs.
type Config struct {
	KV  kv.Store
	Log *slog.Logger
}

// A Classifier learns and judges. It is safe for concurrent use.
type Classifier struct {
	cfg        Config
	global     *model
	tokenizers sync.Pool

	learning sync.Mutex // one lesson at a time; held while earlier lessons are read from the store

	mu       sync.Mutex // guards accounts
	accounts accounts
}

// A Class is what a person says that a message is.
type Class uint8

// The classes.
const (
	Ham Class = 1 + iota // wanted
	Spam
)

func (c Class) String() string {
	switch c {
	case Ham:
		return "ham"
	case Spam:
		return "spam"
	}
	return "unknown"
}

// New returns a Classifier on cfg.KV. Nothing is read before it is first used.
func New(cfg Config) *Classifier {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Classifier{cfg: cfg, global: newModel(cfg.KV, globalPartition, globalBits, true)}
	c.tokenizers.New = newTokenizer
	c.accounts.init()
	return c
}

// Run writes what is learned and takes over what other nodes learned, until ctx ends; then it writes
// once more.
func (c *Classifier) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return c.Flush(context.WithoutCancel(ctx))
		case <-tick.C:
		}
		err := errors.Join(c.Flush(ctx), c.global.refresh(ctx))
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("what the spam classifier learned is not written yet", "err", err)
		}
	}
}

// Flush writes what is learned. What cannot be written stays in memory for the next time.
func (c *Classifier) Flush(ctx context.Context) error {
	errs := []error{c.global.flush(ctx, time.Now())}
	for _, m := range c.unwritten() {
		errs = append(errs, m.flush(ctx, time.Now()))
	}
	return errors.Join(errs...)
}

// Learn teaches that a message is of a class. key names the message, such as its Message-ID. account
// is whose opinion that is, or 0 for one that holds for all. It returns false when that was known.
// A message that was of the other class is forgotten first.
func (c *Classifier) Learn(ctx context.Context, account mail.AccountID, t *Tokens, key string, class Class) (bool, error) {
	if class != Ham && class != Spam {
		return false, fmt.Errorf("classifier: learn: no such class: %d", class)
	}
	return c.teach(ctx, account, t, key, class)
}

// Forget takes back what was learned from a message, whatever its class. It returns false when it is
// not known.
func (c *Classifier) Forget(ctx context.Context, account mail.AccountID, t *Tokens, key string) (bool, error) {
	return c.teach(ctx, account, t, key, 0)
}

// teach makes the lesson of a message one of class, or none when class is 0.
func (c *Classifier) teach(ctx context.Context, account mail.AccountID, t *Tokens, key string, class Class) (bool, error) {
	c.learning.Lock()
	defer c.learning.Unlock()
	now := time.Now()
	if err := c.global.load(ctx); err != nil {
		return false, err
	}
	// An account's message is another than the same one of everybody's.
	id := remember(account, key)
	if account == 0 {
		return c.teachModel(ctx, c.global, t, id, class, 0, now)
	}
	own, err := c.account(ctx, account)
	if err != nil {
		return false, err
	}
	before := c.global.logit(t)
	changed, err := c.teachModel(ctx, own, t, id, class, before, now)
	if err != nil || !changed {
		return changed, err
	}
	if class != 0 && !c.mayTeachAll(own) {
		class = 0 // but what it taught before is taken back
	}
	_, err = c.teachModel(ctx, c.global, t, id, class, 0, now)
	return true, err
}

func (c *Classifier) teachModel(ctx context.Context, m *model, t *Tokens, id memoryKey, class Class, outer float64, now time.Time) (bool, error) {
	known, err := m.remembered(ctx, id)
	if err != nil || known.class == class {
		return false, err
	}
	m.teach(lesson{id: id, class: class, outer: outer, places: m.places(t)}, known, now)
	if m.crowded() {
		return true, m.flush(ctx, now)
	}
	return true, nil
}

// mayTeachAll tells whether an account's share of the model for all leaves room.
func (c *Classifier) mayTeachAll(own *model) bool {
	taught, all := own.counts(), c.global.counts()
	n := taught.ham + taught.spam
	return n <= globalFree || n <= (all.ham+all.spam)/globalShare
}

// Stats are what a model has learned.
type Stats struct {
	Ham   int64 `json:"ham"`  // messages
	Spam  int64 `json:"spam"` // messages
	Used  int   `json:"used"` // slots that hold anything
	Slots int   `json:"slots"`
	Sure  bool  `json:"sure"` // it has learned enough for an opinion
}

// Stats returns those of an account's model, or with 0 those of the model for all.
func (c *Classifier) Stats(ctx context.Context, account mail.AccountID) (Stats, error) {
	m, enough := c.global, c.global.enough
	if account != 0 {
		own, err := c.account(ctx, account)
		if err != nil {
			return Stats{}, err
		}
		m, enough = own, own.counted
	}
	if err := m.refresh(ctx); err != nil {
		return Stats{}, err
	}
	s := m.stats()
	s.Sure = enough()
	return s, nil
}
