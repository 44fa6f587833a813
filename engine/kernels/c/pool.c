/* Threads that share the phases of a run.
 *
 * A run is a row of phases, each a number of units. One word, the ticket, says which phase is open
 * (counted over all runs) and which unit is next; threads take units with a compare-and-swap,
 * large shares first. Whoever finishes a phase's last unit opens the next. So:
 *   - the caller waits only for units that somebody has begun, never for a thread to wake up:
 *     alone on a busy machine it does all the work itself;
 *   - a thread that was away for any time takes nothing stale: its ticket no longer fits.
 * Threads without work spin for a moment, which is shorter than a token, and then sleep.
 *
 * A thread that loses its core in the middle of a unit keeps all others waiting for a scheduler's
 * slice, which is longer than a token of a small model. Once the caller has lost a good part of its
 * last runs by that, it runs alone for a while, and for longer each time that company turns out bad
 * again; trust returns slowly. What counts is the time: alone, a run takes up to twice as long.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "midfill.h"

enum { UNIT_BITS = 24 };
enum { SPINS_IN_PHASE = 4000, SPINS_IDLE = 4000 }; /* pauses, about 0.2 ms */
enum { ALL = 1024, TOO_MUCH = ALL / 3, RUNS_JUDGED = 8 }; /* of a run's time */
enum { LEAST_ALONE = 8, MOST_ALONE = 256 };        /* tokens; one counts twice, for its logits */
static const uint64_t UNIT_MASK = (1u << UNIT_BITS) - 1;

struct pool {
    _Alignas(64) _Atomic uint64_t ticket; /* open phase << UNIT_BITS | next unit */
    _Alignas(64) _Atomic int64_t done;    /* units of the open phase */
    _Alignas(64) _Atomic uint64_t end;    /* the phase after the run's last; first is below it */
    _Atomic uint64_t first;
    _Atomic int64_t sleepers;
    _Atomic int stopping;
    _Atomic int alone;    /* no other thread takes part in this run */
    int64_t alone_tokens; /* still to come */
    int64_t alone_next;   /* how many, if company is too bad again */
    int64_t lost;         /* of the last runs with company, 0 to ALL of their time */
    int64_t threads;
    struct work work;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t *handles;
};

struct worker {
    struct pool *pool;
    int64_t thread;
};

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes and runs a share of the open phase; 0 if nothing was left to take. The reads of the run's
 * bounds count only if the swap succeeds: they change while no phase is open. */
static int take_share(struct pool *pool, uint64_t ticket, int64_t thread) {
    uint64_t open = ticket >> UNIT_BITS;
    int64_t first = (int64_t)(ticket & UNIT_MASK), phase = (int64_t)(open - pool->first);
    int64_t units = pool->work.units(pool->work.context, phase);
    if (first >= units) return 0;
    int64_t share = (units - first) / (2 * pool->threads);
    share = share ? share : 1;
    if (!atomic_compare_exchange_strong(&pool->ticket, &ticket, ticket + (uint64_t)share)) return 1;
    pool->work.run(pool->work.context,
                   (struct share){phase, (int64_t)open, thread, first, first + share});
    if (atomic_fetch_add(&pool->done, share) + share == units) {
        atomic_store(&pool->done, 0);
        atomic_store(&pool->ticket, (open + 1) << UNIT_BITS);
    }
    return 1;
}

static int has_work(struct pool *pool, uint64_t ticket) {
    return !pool->alone && ticket >> UNIT_BITS < pool->end;
}

static void sleep_until_work(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!pool->stopping && !has_work(pool, pool->ticket))
        pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *run_worker(void *argument) {
    struct worker worker = *(struct worker *)argument;
    struct pool *pool = worker.pool;
    free(argument);
    for (int spins = 0; !pool->stopping;) {
        uint64_t ticket = pool->ticket;
        int idle = !has_work(pool, ticket);
        if (!idle && take_share(pool, ticket, worker.thread)) {
            spins = 0;
        } else if (++spins < (idle ? SPINS_IDLE : SPINS_IN_PHASE)) {
            pause_briefly();
        } else if (idle) {
            sleep_until_work(pool);
            spins = 0;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void open_run(struct pool *pool, uint64_t end, int64_t tokens) {
    pool->first = pool->ticket >> UNIT_BITS;
    pool->alone = pool->alone_tokens > 0;
    pool->end = end;
    if (pool->alone) {
        pool->alone_tokens -= tokens;
    } else if (pool->sleepers) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void judge_company(struct pool *pool, int64_t lost) {
    if (pool->alone) return;
    pool->lost += (lost - pool->lost) / RUNS_JUDGED;
    if (lost > TOO_MUCH && pool->lost > TOO_MUCH) {
        pool->alone_tokens = pool->alone_next;
        if (pool->alone_next < MOST_ALONE) pool->alone_next *= 2;
    } else if (lost <= TOO_MUCH && pool->alone_next > LEAST_ALONE) {
        pool->alone_next--;
    }
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void pool_run(struct pool *pool, int64_t phases, int64_t tokens) {
    uint64_t end = (pool->ticket >> UNIT_BITS) + (uint64_t)phases;
    int64_t start = nanoseconds(), waited = 0, since = 0;
    open_run(pool, end, tokens);
    for (int64_t spins = 0;;) {
        uint64_t ticket = pool->ticket;
        int has_ended = ticket >> UNIT_BITS == end;
        if (has_ended || take_share(pool, ticket, 0)) {
            if (since) waited += nanoseconds() - since;
            spins = since = 0;
            if (has_ended) break;
        } else if (++spins < SPINS_IN_PHASE) {
            pause_briefly();
        } else {
            if (!since) since = nanoseconds();
            sched_yield();
        }
    }
    judge_company(pool, ALL * waited / (nanoseconds() - start + 1));
}

static int start_worker(struct pool *pool, int64_t thread) {
    struct worker *worker = malloc(sizeof *worker);
    if (!worker) return 0;
    *worker = (struct worker){pool, thread};
    if (pthread_create(&pool->handles[thread], NULL, run_worker, worker) == 0) return 1;
    free(worker);
    return 0;
}

struct pool *pool_open(int64_t threads, struct work work) {
    struct pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool) return NULL;
    *pool = (struct pool){.threads = 1, .work = work, .alone_next = LEAST_ALONE};
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->handles = calloc((size_t)threads, sizeof *pool->handles);
    while (pool->handles && pool->threads < threads && start_worker(pool, pool->threads))
        pool->threads++;
    return pool;
}

void pool_close(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int64_t thread = 1; thread < pool->threads; thread++)
        pthread_join(pool->handles[thread], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->wake);
    free(pool->handles);
    free(pool);
}
