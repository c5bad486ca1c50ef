package integration

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// replication controls the replication of a master. Masters address each other in the network of
// their fleet.
type replication struct {
	master *Master
	client *redis.Client
}

func replicationOf(m *Master) *replication { return &replication{m, m.patientClient()} }

func (r *replication) close() { _ = r.client.Close() }

// follow makes the master a replica of another one. It returns once the data of the other has
// replaced its own.
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

// lead makes a replica a master. It returns once the append-only file contains the data of the
// other master.
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
	return "", fmt.Errorf("INFO %s has no %s", section, field)
}

// identity returns the IDs by which the restart guard identifies a master.
func (r *replication) identity(ctx context.Context) (run, data string, err error) {
	if run, err = r.info(ctx, "server", "run_id"); err == nil {
		data, err = r.info(ctx, "replication", "master_replid")
	}
	return run, data, err
}

// failOver simulates a failover and back. The spare gets the data of the master, and then nothing
// more for a while. Then it replaces the master and hands the role back at once, so the same
// process continues with the data of the spare. failOver calls during when the spare has its data;
// the master is replaced when during returns. The result says when the master forgot.
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
	if err2 := master.lead(ctx); err == nil { // even after an error, it must become a master again
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

// withFailover makes masters copy their data to a replica at once. By default they wait 5 s for
// more replicas.
func withFailover() MasterOption { return WithArgs("--repl-diskless-sync-delay", "0") }

// failOver makes a master lose its last grants, although its process lives on.
func (r *chaosRun) failOver(ctx context.Context, f chaosFault, i int) error {
	forgot, err := failOver(ctx, r.masters[i], r.spares[i], r.clock.now, func() { _ = sleep(ctx, f.For) })
	if err != nil {
		return err
	}
	r.record.recordForget(forgot.from, forgot.to)
	return nil
}
