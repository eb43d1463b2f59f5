package directory

import (
	"bytes"
	"container/heap"
	"context"
	"iter"

	"posthaste/kv"
)

// pageRecords is how many records of one bucket are read, and kept in memory, at a time.
const pageRecords = 32

// A cursor reads one bucket page by page.
type cursor struct {
	bucket int
	start  []byte // where the next page begins
	end    []byte
	page   []keyedRecord // not empty, once filled
	atEnd  bool          // no page comes after this one
}

type keyedRecord struct {
	key    []byte
	record record
}

// records yields what addresses of a domain are, or those of all domains when it is empty, by domain
// and local-part: a merge of all buckets. Its memory is bounded, and it holds no snapshot between
// two records, so what changes meanwhile shows or not.
func (d *Directory) records(ctx context.Context, domain string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		var merged cursors
		for bucket := range buckets {
			c := newCursor(bucket, domain)
			if err := c.fill(ctx, d.store); err != nil {
				yield(record{}, err)
				return
			}
			if len(c.page) > 0 {
				merged = append(merged, c)
			}
		}
		heap.Init(&merged)
		for len(merged) > 0 {
			if !yield(merged[0].page[0].record, nil) {
				return
			}
			if err := merged.advance(ctx, d.store); err != nil {
				yield(record{}, err)
				return
			}
		}
	}
}

func newCursor(bucket int, domain string) *cursor {
	c := &cursor{bucket: bucket}
	if domain != "" {
		c.start = append([]byte(lowerASCII(domain)), 0)
		c.end = kv.PrefixEnd(c.start)
	}
	return c
}

// fill reads the next page.
func (c *cursor) fill(ctx context.Context, store kv.Store) error {
	c.page = c.page[:0]
	if c.atEnd {
		return nil
	}
	c.atEnd = true
	err := store.View(ctx, bucketPartition(c.bucket), func(r kv.Reader) error {
		seq, errf := r.Scan(c.start, c.end, false)
		for key, value := range seq {
			if len(c.page) == pageRecords {
				c.atEnd = false
				break
			}
			var rec record
			if err := decodeJSON(key, value, &rec); err != nil {
				return err
			}
			c.page = append(c.page, keyedRecord{bytes.Clone(key), rec})
		}
		return errf()
	})
	if n := len(c.page); n > 0 {
		c.start = append(bytes.Clone(c.page[n-1].key), 0)
	}
	return err
}

// cursors is a heap; the least key is at its top.
type cursors []*cursor

func (cs cursors) Len() int           { return len(cs) }
func (cs cursors) Less(i, j int) bool { return bytes.Compare(cs[i].page[0].key, cs[j].page[0].key) < 0 }
func (cs cursors) Swap(i, j int)      { cs[i], cs[j] = cs[j], cs[i] }
func (cs *cursors) Push(x any)        { *cs = append(*cs, x.(*cursor)) }

func (cs *cursors) Pop() any {
	last := len(*cs) - 1
	c := (*cs)[last]
	*cs = (*cs)[:last]
	return c
}

// advance goes on to the next record.
func (cs *cursors) advance(ctx context.Context, store kv.Store) error {
	c := (*cs)[0]
	c.page = c.page[1:]
	if len(c.page) == 0 {
		if err := c.fill(ctx, store); err != nil {
			return err
		}
	}
	if len(c.page) == 0 {
		heap.Pop(cs)
		return nil
	}
	heap.Fix(cs, 0)
	return nil
}
