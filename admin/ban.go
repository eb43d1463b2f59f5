package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"posthaste/auth/ban"
)

// A BanRequest asks for a ban, or names one.
type BanRequest struct {
	Subject string        `json:"subject"`
	For     time.Duration `json:"for,omitempty"` // 0: until it is removed
	Reason  string        `json:"reason,omitempty"`
}

// A BanExportRequest names the sets of nftables that are wanted.
type BanExportRequest struct {
	Table string `json:"table"` // family and name
	Set   string `json:"set"`
}

// A BanExport is a script for nft.
type BanExport struct {
	Script string `json:"script"`
}

func (a *Admin) handleBans(mux *http.ServeMux) {
	many(mux, "ban/list", func(ctx context.Context, _ struct{}) iter.Seq2[any, error] { return anySeq(a.BanList(ctx)) })
	one(mux, "ban/add", a.AddBan)
	none(mux, "ban/remove", a.RemoveBan)
	one(mux, "ban/export", a.ExportBans)
}

// BanList yields the bans in force, the latest first.
func (a *Admin) BanList(context.Context) iter.Seq2[ban.Ban, error] {
	return func(yield func(ban.Ban, error) bool) {
		for _, b := range a.cfg.Bans.List(time.Now()) {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// AddBan keeps somebody away.
func (a *Admin) AddBan(ctx context.Context, r BanRequest) (ban.Ban, error) {
	who, err := ban.ParseSubject(r.Subject)
	if err != nil {
		return ban.Ban{}, err
	}
	return a.cfg.Bans.Add(ctx, who, r.For, r.Reason, time.Now())
}

// RemoveBan lets somebody in again, and forgets what led to the ban.
func (a *Admin) RemoveBan(ctx context.Context, r BanRequest) error {
	who, err := ban.ParseSubject(r.Subject)
	if err != nil {
		return err
	}
	err = a.cfg.Bans.Remove(ctx, who, time.Now())
	if errors.Is(err, ban.ErrNoBan) {
		return fmt.Errorf("%s is not banned: posthaste ban list shows who is", who)
	}
	return err
}

// ExportBans returns a script that puts the bans into sets of nftables.
func (a *Admin) ExportBans(_ context.Context, r BanExportRequest) (BanExport, error) {
	script, err := a.cfg.Bans.NFT(r.Table, r.Set, time.Now())
	return BanExport{script}, err
}
