package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

const (
	// maxBody is the most bytes of packed content that lie in the shard itself.
	maxBody = 64 << 10
	// maxPackTry is the most bytes of content that are packed to see whether they fit.
	maxPackTry = 512 << 10
	// maxCached is the largest content that is kept in memory.
	maxCached = 1 << 20
)

// The first byte of a body names its codec. Blobs are not packed.
const (
	codecRaw = 0
	codecS2  = 1
)

// pack returns the body of content, its ID in e, or stores content in a blob and names it in e.
func (q *Queue) pack(ctx context.Context, e *Entry, content []byte) ([]byte, error) {
	if len(content) <= maxPackTry {
		if packed := packBody(content); len(packed) <= maxBody {
			e.content.body = q.kv.NewBodyID()
			return packed, nil
		}
	}
	if q.blobs == nil {
		return nil, errors.New("the content is too large for a body, and there is no blob store")
	}
	e.content.blob = blob.NewName(time.Now(), sha256.Sum256(content))
	return nil, q.blobs.Put(ctx, e.content.blob, bytes.NewReader(content), int64(len(content)))
}

func packBody(content []byte) []byte {
	packed := make([]byte, 1+s2.MaxEncodedLen(len(content)))
	packed[0] = codecS2
	n := 1 + len(s2.Encode(packed[1:], content))
	if n <= len(content) {
		return packed[:n]
	}
	packed[0] = codecRaw
	return packed[:1+copy(packed[1:], content)]
}

func unpackBody(packed []byte, size int64) ([]byte, error) {
	var content []byte
	var err error
	switch {
	case len(packed) > 0 && packed[0] == codecRaw:
		content = bytes.Clone(packed[1:])
	case len(packed) > 0 && packed[0] == codecS2:
		if n, lenErr := s2.DecodedLen(packed[1:]); lenErr != nil || int64(n) != size {
			return nil, fmt.Errorf("content has not the %d bytes that its entry names", size)
		}
		content, err = s2.Decode(nil, packed[1:])
	default:
		err = errors.New("content has no known codec")
	}
	if err == nil && int64(len(content)) != size {
		err = fmt.Errorf("content has %d bytes and its entry names %d", len(content), size)
	}
	return content, err
}

// load returns the content of e. An error that wraps kv.ErrCorrupt will not heal by itself.
func (q *Queue) load(ctx context.Context, e *Entry) (mail.Bytes, error) {
	if content := q.cache.get(e.ID); content != nil {
		return content, nil
	}
	var content []byte
	var err error
	if e.content.blob != "" {
		content, err = q.loadBlob(ctx, e, e.Size)
	} else {
		content, err = q.loadBody(ctx, e)
	}
	if err != nil {
		return nil, fmt.Errorf("queue: content of %s: %w", e.ID, err)
	}
	q.cache.add(e.ID, content)
	return content, nil
}

func (q *Queue) loadBody(ctx context.Context, e *Entry) (content []byte, err error) {
	err = q.kv.View(ctx, shardPartition(shardOf(e.ID)), func(r kv.Reader) error {
		packed, err := r.Body(e.content.body)
		if errors.Is(err, kv.ErrNotFound) {
			return fmt.Errorf("%w: its body is missing", kv.ErrCorrupt)
		}
		if err != nil {
			return err
		}
		if content, err = unpackBody(packed, e.Size); err != nil {
			return fmt.Errorf("%w: %v", kv.ErrCorrupt, err)
		}
		return nil
	})
	return content, err
}

// loadBlob returns the first bytes of the content of e.
func (q *Queue) loadBlob(ctx context.Context, e *Entry, size int64) ([]byte, error) {
	r, err := q.blobs.Open(ctx, e.content.blob)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("%w: its blob is missing", kv.ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() != e.Size {
		return nil, fmt.Errorf("%w: its blob has %d bytes, not %d", kv.ErrCorrupt, r.Size(), e.Size)
	}
	content := make([]byte, size)
	if n, err := r.ReadAt(content, 0); n < len(content) {
		return nil, err
	}
	return content, nil
}

// discardBlob deletes the blob of an entry that was not put or is finished. It is the entry's own;
// should this fail, the sweep finds it.
func (q *Queue) discardBlob(e *Entry) {
	if e.content.blob == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := q.blobs.Delete(ctx, e.content.blob); err != nil {
		q.log.Warn("queue: the blob of a finished message stays until the sweep", "qid", e.ID, "err", err)
	}
}

// A cache holds the content of fresh entries, so that a delivery right after Put reads nothing. Past
// its bound it forgets the oldest.
type cache struct {
	mu    sync.Mutex // guards the rest
	max   int64
	size  int64
	items map[mail.QueueID][]byte
	order []mail.QueueID // oldest first; may name what is gone
}

func newCache(max int64) *cache {
	return &cache{max: max, items: map[mail.QueueID][]byte{}}
}

// add keeps a copy of content.
func (c *cache) add(id mail.QueueID, content []byte) {
	if len(content) > maxCached {
		return
	}
	content = bytes.Clone(content)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[id]; ok {
		return
	}
	c.items[id] = content
	c.order = append(c.order, id)
	c.size += int64(len(content))
	for c.size > c.max {
		c.forget(c.order[0])
		c.order = c.order[1:]
	}
	if len(c.order) > 2*len(c.items)+64 {
		c.compact()
	}
}

func (c *cache) get(id mail.QueueID) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.items[id]
}

func (c *cache) remove(id mail.QueueID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(id)
}

func (c *cache) forget(id mail.QueueID) {
	c.size -= int64(len(c.items[id]))
	delete(c.items, id)
}

// compact drops from order what is gone.
func (c *cache) compact() {
	kept := make([]mail.QueueID, 0, len(c.items))
	for _, id := range c.order {
		if _, ok := c.items[id]; ok {
			kept = append(kept, id)
		}
	}
	c.order = kept
}
