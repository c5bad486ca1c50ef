package integration

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// replication is what two masters of a fleet do to each other. Addresses are those in the fleet's own network.
type replication struct {
	master *Master
	client *redis.Client
}

func replicationOf(m *Master) *replication {
	return &replication{m, redis.NewClient(&redis.Options{
		Addr: m.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})}
}

func (r *replication) close() { _ = r.client.Close() }

// follow makes a replica of a master, and returns once it has the other's data in the place of its own.
func (r *replication) follow(ctx context.Context, other *Master) error {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	err := r.client.Do(ctx, "REPLICAOF", other.name, redisPort.Port()).Err()
	for err == nil {
		var up string
		if up, err = r.info(ctx, "replication", "master_link_status"); up == "up" {
			return nil
		}
		if err == nil {
			err = sleep(ctx, 5*time.Millisecond)
		} else if redis.HasErrorPrefix(err, "LOADING") {
			err = sleep(ctx, 5*time.Millisecond)
		}
	}
	return r.master.wrapErr("follow "+other.name+" with", err)
}

// lead makes a master of a replica, and returns once its append-only file has what it got from the other.
func (r *replication) lead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), actionTimeout)
	defer cancel()
	err := r.client.Do(ctx, "REPLICAOF", "NO", "ONE").Err()
	for err == nil {
		var writing, scheduled string
		writing, err = r.info(ctx, "persistence", "aof_rewrite_in_progress")
		if err == nil {
			scheduled, err = r.info(ctx, "persistence", "aof_rewrite_scheduled")
		}
		if err == nil && writing == "0" && scheduled == "0" {
			return nil
		}
		if err == nil {
			err = sleep(ctx, 5*time.Millisecond)
		}
	}
	return r.master.wrapErr("promote", err)
}

func (r *replication) info(ctx context.Context, section, field string) (value string, err error) {
	text, err := r.client.Info(ctx, section).Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("INFO %s tells no %s", section, field)
}

// identity is what the restart guard tells a master by.
func (r *replication) identity(ctx context.Context) (run, data string, err error) {
	if run, err = r.info(ctx, "server", "run_id"); err == nil {
		data, err = r.info(ctx, "replication", "master_replid")
	}
	return run, data, err
}

// failOver has a spare get a master's data, take the master's place after a while in which it got no more, and give it
// back at once: the same process goes on with what the spare had. during is called when the spare has its data, and
// returns when the master is to be replaced. The result is when the master forgot.
func failOver(ctx context.Context, m, spare *Master, now func() time.Duration, during func()) (forgot gap, err error) {
	master, replica := replicationOf(m), replicationOf(spare)
	defer master.close()
	defer replica.close()
	if err := replica.follow(ctx, m); err != nil {
		return gap{}, err
	}
	if err := replica.lead(ctx); err != nil {
		return gap{}, err
	}
	during()
	run, data, err := master.identity(ctx)
	if err != nil {
		return gap{}, err
	}
	from := now()
	err = master.follow(ctx, spare)
	if err2 := master.lead(ctx); err == nil { // whatever happened, it is to be a master again
		err = err2
	}
	if err != nil {
		return gap{}, err
	}
	sameRun, otherData, err := master.identity(ctx)
	if err == nil && (run != sameRun || data == otherData) {
		err = m.wrapErr("fail over", fmt.Errorf("was %s.%s, is %s.%s", run, data, sameRun, otherData))
	}
	return gap{from, now()}, err
}

// withFailover has masters copy their data to a replica at once. The default is to wait for more replicas for 5 s.
func withFailover() MasterOption { return WithArgs("--repl-diskless-sync-delay", "0") }

// failOver has a master lose what it granted in the last moments, though its process lives on.
func (r *chaosRun) failOver(ctx context.Context, f chaosFault, i int) error {
	forgot, err := failOver(ctx, r.masters[i], r.spares[i], r.clock.now, func() { _ = sleep(ctx, f.For) })
	if err != nil {
		return err
	}
	r.record.recordForget(forgot.from, forgot.to)
	return nil
}
