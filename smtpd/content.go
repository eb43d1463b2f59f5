package smtpd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"posthaste/mail"
)

// maxInMemory is the most content of one message that is kept in memory.
const maxInMemory = 256 << 10

// spoolReserve is the free space, in bytes, that spool files leave: the store would take no message then,
// and needs what is left to stay alive.
const spoolReserve = 256 << 20

// blockSizes are those of the blocks that content grows through in memory.
var blockSizes = [...]int{16 << 10, 64 << 10, maxInMemory}

// contents makes content, within a bound on memory.
type contents struct {
	dir       string
	maxMemory int64
	used      atomic.Int64 // bytes of blocks that are out
	free      [len(blockSizes)]sync.Pool
	left      func() uint64 // bytes free on the disk of dir, in tests; nil: as the disk says
}

// full tells whether a spool file would use up what is kept free.
func (c *contents) full() bool {
	if c.left != nil {
		return c.left() < spoolReserve
	}
	var disk syscall.Statfs_t
	err := syscall.Statfs(c.dir, &disk)
	return err == nil && disk.Bavail*uint64(disk.Bsize) < spoolReserve
}

// borrow returns an empty block of a class. The first class is always to be had: the number of
// sessions bounds it. Others are nil when memory is up.
func (c *contents) borrow(class int) []byte {
	size := int64(blockSizes[class])
	if c.used.Add(size) > c.maxMemory && class > 0 {
		c.used.Add(-size)
		return nil
	}
	if b, ok := c.free[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, size)
}

func (c *contents) giveBack(block []byte) {
	for class, size := range blockSizes {
		if cap(block) == size {
			c.used.Add(-int64(size))
			c.free[class].Put(&block)
		}
	}
}

// A content is one message as it comes in, then the [mail.Content] handed on. The first error sticks;
// what is written after it is dropped.
type content struct {
	from  *contents
	limit int64

	size   int64
	err    error // a *mail.Status for the client
	class  int
	block  []byte // all of it, or the end that is not in file yet
	file   *os.File
	mapped []byte
}

var (
	errTooBig   = mail.NewStatus(552, "5.3.4", "message too big")
	errDiskFull = mail.NewStatus(452, "4.3.1", "no space to take this message now, try again later")
)

func (c *contents) new(limit int64) *content { return &content{from: c, limit: limit} }

// write appends p.
func (c *content) write(p []byte) {
	if c.err != nil {
		return
	}
	if c.size += int64(len(p)); c.size > c.limit {
		c.fail(errTooBig)
		return
	}
	for len(p) > 0 && c.err == nil {
		if len(c.block) == cap(c.block) {
			c.makeRoom()
			continue
		}
		n := min(len(p), cap(c.block)-len(c.block))
		c.block = append(c.block, p[:n]...)
		p = p[n:]
	}
}

// makeRoom gets a larger block, or empties the block into the file.
func (c *content) makeRoom() {
	switch {
	case c.block == nil:
		c.block = c.from.borrow(0)
		return
	case c.file == nil && c.class+1 < len(blockSizes):
		if larger := c.from.borrow(c.class + 1); larger != nil {
			larger = append(larger, c.block...)
			c.from.giveBack(c.block)
			c.block, c.class = larger, c.class+1
			return
		}
	}
	c.spill()
}

// spoolPrefix begins the name that a spool file has for a moment.
const spoolPrefix = "incoming-"

// CleanSpool deletes what a crash left in a spool directory that no Server uses now.
func CleanSpool(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, spoolPrefix+"*"))
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		return fmt.Errorf("smtpd: clean the spool: %w", err)
	}
	return nil
}

// spill appends the block to the file, which has no name any more and so ends with us.
func (c *content) spill() {
	if c.from.full() {
		c.fail(errDiskFull)
		return
	}
	if c.file == nil {
		f, err := os.CreateTemp(c.from.dir, spoolPrefix)
		if err == nil {
			c.file, err = f, os.Remove(f.Name())
		}
		if err != nil {
			c.fail(fmt.Errorf("smtpd: make a spool file: %w", err))
			return
		}
	}
	if _, err := c.file.Write(c.block); err != nil {
		c.fail(fmt.Errorf("smtpd: write the spool file: %w", err))
		return
	}
	c.block = c.block[:0]
}

// fail drops what there is and keeps err.
func (c *content) fail(err error) {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", errDiskFull, err)
	}
	c.Close()
	c.err = err
}

// finish ends writing. The content can be read after it returned nil.
func (c *content) finish() error {
	if c.err != nil || c.file == nil {
		return c.err
	}
	if c.spill(); c.err != nil {
		return c.err
	}
	c.from.giveBack(c.block)
	c.block = nil
	mapped, err := syscall.Mmap(int(c.file.Fd()), 0, int(c.size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		c.fail(fmt.Errorf("smtpd: map the spool file: %w", err))
		return c.err
	}
	c.mapped = mapped
	return nil
}

// Bytes returns the content.
func (c *content) Bytes() []byte {
	if c.file != nil {
		return c.mapped
	}
	return c.block
}

// Close frees memory and file. It may be called again.
func (c *content) Close() error {
	var err error
	if c.mapped != nil {
		err = syscall.Munmap(c.mapped)
	}
	if c.file != nil {
		err = errors.Join(err, c.file.Close())
	}
	if c.block != nil {
		c.from.giveBack(c.block)
	}
	c.block, c.file, c.mapped = nil, nil, nil
	return err
}
