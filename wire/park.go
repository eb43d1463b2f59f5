package wire

import (
	"context"
	"errors"
	"os"
	"time"
)

// Park waits for input while holding no buffers, where the connection has a file descriptor. It flushes
// before, unless input is here already. It returns nil once there is input, io.EOF at its end, ErrWoken after Wake, ctx.Err()
// when ctx ends, and an error that is os.ErrDeadlineExceeded after d.
func (c *Conn) Park(ctx context.Context, d time.Duration) error {
	if c.in.len() > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.cause(ctx)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	c.deadline = time.Now().Add(d)
	if ctx.Done() == nil {
		return c.park(ctx)
	}
	stop := context.AfterFunc(ctx, c.interrupt)
	err := c.park(ctx)
	stop()
	return err
}

// errSpurious is the end of a wait that nothing explains: the interrupt of an earlier context.
var errSpurious = errors.New("wire: spurious wake-up")

// park waits. An idle session lies in here, and its stack is most of its cost: the runtime halves a
// stack only when less than a quarter of it is in use. So frames from here on down are kept small, by
// leaving what needs room to functions that have returned by then.
func (c *Conn) park(ctx context.Context) error {
	for {
		if err := c.beginPark(ctx); err != nil {
			return err
		}
		err := c.fill()
		if err = c.endPark(ctx, err); err != errSpurious {
			return err
		}
	}
}

func (c *Conn) beginPark(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.cause(ctx); err != nil {
		return err
	}
	c.parked = true
	return c.link.readUntil(c.deadline)
}

// endPark says how a wait ended that fill ended with err.
func (c *Conn) endPark(ctx context.Context, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = false
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if cause := c.cause(ctx); cause != nil {
		return cause
	}
	if time.Now().Before(c.deadline) {
		return errSpurious
	}
	return err
}

// cause says why a wait was cut short, and takes note of a Wake. c.mu is held.
func (c *Conn) cause(ctx context.Context) error {
	if c.woken {
		c.woken = false
		return ErrWoken
	}
	return ctx.Err()
}

// Wake makes the present Park, or else the next one, return ErrWoken. Any goroutine may call it, and
// it does not block.
func (c *Conn) Wake() {
	c.mu.Lock()
	c.woken = true
	c.mu.Unlock()
	c.interrupt()
}

// interrupt ends a wait of Park that goes on.
func (c *Conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parked {
		c.nc.SetReadDeadline(time.Unix(1, 0)) // long past
	}
}
