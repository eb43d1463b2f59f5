package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"posthaste/kv"
)

// Content returns prefix and content of an email, or ErrNoEmail. It is the caller's own.
func (a *Account) Content(ctx context.Context, id EmailID) ([]byte, error) {
	var p packedContent
	err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
		p, err = readPacked(r, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: account %d: %w", a.id, err)
	}
	content, err := p.unpack(ctx, a.store)
	if err != nil {
		return nil, fmt.Errorf("store: account %d: email %d: %w", a.id, id, err)
	}
	return content, nil
}

// packedContent is an email's content as read, to be unpacked outside of the View.
type packedContent struct {
	facts *Facts
	body  []byte // nil when the facts name a blob
}

func readPacked(r kv.Reader, id EmailID) (packedContent, error) {
	facts, err := getFacts(r, id)
	if err != nil {
		return packedContent{}, err
	}
	return packedOf(r, facts)
}

// readBatchPacked reads the content of the first of ids, as far as it is still stored, and tells how many
// of the ids that covers. Ascending ids cost one scan, not a search each.
func readBatchPacked(r kv.Reader, ids []EmailID) (list []packedContent, asked int, err error) {
	ids = ids[:min(len(ids), contentBatch)]
	all := make([]*Facts, len(ids))
	size := int64(0)
	if err := readFacts(r, ids, all); err != nil {
		return nil, 0, err
	}
	for _, facts := range all {
		if asked++; facts == nil {
			continue
		}
		p, err := packedOf(r, facts)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, p)
		if size += facts.Size; size >= contentBatchBytes {
			break
		}
	}
	return list, asked, nil
}

// packedOf reads the body that facts name, unless they name a blob.
func packedOf(r kv.Reader, facts *Facts) (packedContent, error) {
	if facts.content.blob != "" {
		return packedContent{facts: facts}, nil
	}
	body, err := r.Body(facts.content.body)
	if err != nil {
		return packedContent{}, fmt.Errorf("body of email %d: %w", facts.Email, err)
	}
	return packedContent{facts, slices.Clone(body)}, nil
}

// unpack returns prefix and content.
func (p packedContent) unpack(ctx context.Context, s *Store) ([]byte, error) {
	body := p.body
	if p.facts.content.blob != "" {
		var err error
		if body, err = s.readBlob(ctx, p.facts); err != nil {
			return nil, err
		}
	}
	dst := append(make([]byte, 0, p.facts.Size), p.facts.prefix...)
	return s.codec.unpack(dst, body, p.facts.content.size)
}

func (s *Store) readBlob(ctx context.Context, f *Facts) ([]byte, error) {
	if s.cfg.Blobs == nil {
		return nil, fmt.Errorf("content is in blob %s, and no blob store is configured", f.content.blob)
	}
	r, err := s.cfg.Blobs.Open(ctx, f.content.blob)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	packed := make([]byte, r.Size())
	if n, err := r.ReadAt(packed, 0); n < len(packed) && err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read blob %s: %w", f.content.blob, err)
	}
	return packed, nil
}

// Bounds of one batch of content: its View is short, and memory is bounded.
const (
	contentBatch      = 256
	contentBatchBytes = 4 << 20
)

// Contents calls fn with prefix and content of each email of ids that is still stored, in the order of
// ids. It reads and unpacks ahead of fn, on several cores, within a bound of bytes. The content is
// fn's own.
func (a *Account) Contents(ctx context.Context, ids []EmailID, fn func(id EmailID, content []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := make(chan contentsBatch, 1)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	reader.Go(func() {
		defer close(ahead)
		for len(ids) > 0 {
			b := a.readBatch(ctx, ids)
			ids = ids[b.asked:]
			select {
			case ahead <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
		}
	})
	for b := range ahead {
		if b.err != nil {
			return fmt.Errorf("store: account %d: %w", a.id, b.err)
		}
		for i, content := range b.content {
			if err := fn(b.ids[i], content); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// A contentsBatch is what one View yielded.
type contentsBatch struct {
	asked   int // how many of the ids it covers
	ids     []EmailID
	content [][]byte
	err     error
}

// readBatch reads and unpacks the first of ids.
func (a *Account) readBatch(ctx context.Context, ids []EmailID) (b contentsBatch) {
	var packed []packedContent
	b.err = a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
		packed, b.asked, err = readBatchPacked(r, ids)
		return err
	})
	if b.err != nil {
		return b
	}
	b.ids, b.content = make([]EmailID, len(packed)), make([][]byte, len(packed))
	b.err = parallel(len(packed), func(i int) (err error) {
		b.ids[i] = packed[i].facts.Email
		b.content[i], err = packed[i].unpack(ctx, a.store)
		return err
	})
	return b
}

// parallel calls fn with 0 to n-1 on all cores and returns the first error.
func parallel(n int, fn func(i int) error) error {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			if err := fn(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = fn(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
