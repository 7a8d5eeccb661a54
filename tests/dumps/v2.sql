BEGIN TRANSACTION;
CREATE TABLE attempts (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                delivery_id TEXT NOT NULL
                    REFERENCES deliveries (id) ON DELETE CASCADE ON UPDATE CASCADE,
                attempt INTEGER NOT NULL,
                started_at REAL NOT NULL,
                ended_at REAL,
                class TEXT,
                status INTEGER,
                detail TEXT
            ) STRICT
            ;
INSERT INTO "attempts" VALUES(1,'msg_f22315dd3a1098233c2289423c4f2608',1,1732384806.0,1732384806.0,'ok',200,NULL);
INSERT INTO "attempts" VALUES(2,'msg_f826ab494aaeff36a0f92c5847bfef2a',1,1732384808.0,1732384808.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(3,'msg_809239512ab8d29643567663a8ed1d6c',1,1732384810.0,1732384810.0,'connect',NULL,NULL);
CREATE TABLE bodies (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                body TEXT NOT NULL,
                UNIQUE (job_id, version)
            ) STRICT
            ;
INSERT INTO "bodies" VALUES(1,'01935a2e-5088-7b5d-ba51-48a45c906858',2,'{"result":"completed","timestamp":1732384806000,"type":"job.completed","job":{"id":"01935a2e-5088-7b5d-ba51-48a45c906858","kind":"delivered","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":{"frames":7},"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:05.000Z","updated_at":"2024-11-23T18:00:06.000Z","finished_at":"2024-11-23T18:00:06.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5088-7b5d-ba51-48a45c906858","status":"/jobs/01935a2e-5088-7b5d-ba51-48a45c906858/status","operation":"/jobs/01935a2e-5088-7b5d-ba51-48a45c906858/operation"}}}');
INSERT INTO "bodies" VALUES(2,'01935a2e-5858-725a-a07b-1b5c4fbefc87',2,'{"result":"error","timestamp":1732384808000,"type":"job.error","job":{"id":"01935a2e-5858-725a-a07b-1b5c4fbefc87","kind":"dead","result":"error","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":{"code":"disk","message":"is full"},"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:07.000Z","updated_at":"2024-11-23T18:00:08.000Z","finished_at":"2024-11-23T18:00:08.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5858-725a-a07b-1b5c4fbefc87","status":"/jobs/01935a2e-5858-725a-a07b-1b5c4fbefc87/status","operation":"/jobs/01935a2e-5858-725a-a07b-1b5c4fbefc87/operation"}}}');
INSERT INTO "bodies" VALUES(3,'01935a2e-6028-7ff1-8048-26c7d2585898',2,'{"result":"completed","timestamp":1732384810000,"type":"job.completed","job":{"id":"01935a2e-6028-7ff1-8048-26c7d2585898","kind":"retried","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:09.000Z","updated_at":"2024-11-23T18:00:10.000Z","finished_at":"2024-11-23T18:00:10.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6028-7ff1-8048-26c7d2585898","status":"/jobs/01935a2e-6028-7ff1-8048-26c7d2585898/status","operation":"/jobs/01935a2e-6028-7ff1-8048-26c7d2585898/operation"}}}');
INSERT INTO "bodies" VALUES(4,'01935a2e-6be0-72a2-9a5b-d6d468bbb1a2',2,'{"result":"completed","timestamp":1732384813000,"type":"job.completed","job":{"id":"01935a2e-6be0-72a2-9a5b-d6d468bbb1a2","kind":"sending","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:12.000Z","updated_at":"2024-11-23T18:00:13.000Z","finished_at":"2024-11-23T18:00:13.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6be0-72a2-9a5b-d6d468bbb1a2","status":"/jobs/01935a2e-6be0-72a2-9a5b-d6d468bbb1a2/status","operation":"/jobs/01935a2e-6be0-72a2-9a5b-d6d468bbb1a2/operation"}}}');
CREATE TABLE deliveries (
                id TEXT PRIMARY KEY,
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                origin_id INTEGER NOT NULL,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                type TEXT NOT NULL,
                body_id INTEGER NOT NULL REFERENCES bodies (id) ON DELETE CASCADE,
                state TEXT NOT NULL CHECK (
                    state IN ('pending', 'sending', 'delivered', 'superseded', 'dead')
                ),
                attempts INTEGER NOT NULL DEFAULT 0,
                due_at REAL NOT NULL,
                created_at REAL NOT NULL,
                finished_at REAL, begun_at REAL, reason TEXT,
                CHECK ((state IN ('pending', 'sending')) = (finished_at IS NULL))
            ) STRICT
            ;
INSERT INTO "deliveries" VALUES('msg_f22315dd3a1098233c2289423c4f2608','wh_e3ad6144cce766c2dde78433747bf934',1,'01935a2e-5088-7b5d-ba51-48a45c906858',2,'job.completed',1,'delivered',1,1732384806.0,1732384806.0,1732384806.0,1732384806.0,NULL);
INSERT INTO "deliveries" VALUES('msg_f826ab494aaeff36a0f92c5847bfef2a','wh_da0f6f114ce2b554154a19ea350bb518',1,'01935a2e-5858-725a-a07b-1b5c4fbefc87',2,'job.error',2,'dead',1,1732384808.0,1732384808.0,1732384808.0,1732384808.0,'every attempt failed');
INSERT INTO "deliveries" VALUES('msg_809239512ab8d29643567663a8ed1d6c','wh_2b2c6cbf3258e0a716d56054550d5601',1,'01935a2e-6028-7ff1-8048-26c7d2585898',2,'job.completed',3,'pending',1,1732388410.0,1732384810.0,NULL,1732384810.0,NULL);
INSERT INTO "deliveries" VALUES('msg_b06e552f06e27eede96dfa94756d6438','wh_6d3ad82a133c7fdc54c04f9232c514a7',1,'01935a2e-6be0-72a2-9a5b-d6d468bbb1a2',2,'job.completed',4,'sending',1,1732384813.0,1732384813.0,NULL,1732384813.0,NULL);
CREATE TABLE events (
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER NOT NULL,
                at REAL NOT NULL,
                result TEXT NOT NULL,
                progress REAL,
                message TEXT,
                PRIMARY KEY (job_id, version)
            ) STRICT, WITHOUT ROWID
            ;
INSERT INTO "events" VALUES('01935a2e-3d00-774b-9a4f-22b4eb00f6a2',1,1732384800.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7a8b-8371-60644f735512',1,1732384801.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7a8b-8371-60644f735512',2,1732384802.0,'pending',0.5,'half');
INSERT INTO "events" VALUES('01935a2e-48b8-7bcc-a248-27d3ce7db2e0',1,1732384803.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-4ca0-7dfa-895a-89a76ae693e9',1,1732384804.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7b5d-ba51-48a45c906858',1,1732384805.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7b5d-ba51-48a45c906858',2,1732384806.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-725a-a07b-1b5c4fbefc87',1,1732384807.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-725a-a07b-1b5c4fbefc87',2,1732384808.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7ff1-8048-26c7d2585898',1,1732384809.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7ff1-8048-26c7d2585898',2,1732384810.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7864-9f18-a5744adcb751',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7864-9f18-a5744adcb751',2,1732384811.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7b73-ac86-57f0234b24e6',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-72a2-9a5b-d6d468bbb1a2',1,1732384812.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-72a2-9a5b-d6d468bbb1a2',2,1732384813.0,'completed',NULL,NULL);
CREATE TABLE jobs (
                id TEXT PRIMARY KEY,
                kind TEXT NOT NULL,
                result TEXT NOT NULL CHECK (result IN ('pending', 'completed', 'error')),
                version INTEGER NOT NULL CHECK (version >= 1),
                progress REAL CHECK (progress BETWEEN 0 AND 1),
                message TEXT,
                eta_at REAL,
                output TEXT CHECK (output IS NULL OR result = 'completed'),
                error_code TEXT,
                error_message TEXT,
                metadata TEXT,
                deadline REAL,
                heartbeat REAL,
                heard_at REAL,
                simulated_delay REAL,
                simulated_result TEXT,
                step_at REAL,
                idempotency_key TEXT UNIQUE,
                idempotency_hash TEXT,
                created_at REAL NOT NULL,
                updated_at REAL NOT NULL,
                finished_at REAL,
                due_at REAL GENERATED ALWAYS AS (
                    CASE WHEN result = 'pending' THEN NULLIF(MIN(
                        COALESCE(created_at + deadline, 1e99),
                        COALESCE(heard_at + heartbeat, 1e99),
                        COALESCE(step_at, 1e99)
                    ), 1e99) END
                ) STORED,
                CHECK ((result = 'pending') = (finished_at IS NULL)),
                CHECK ((result = 'error') = (error_code IS NOT NULL))
            ) STRICT
            ;
INSERT INTO "jobs" VALUES('01935a2e-3d00-774b-9a4f-22b4eb00f6a2','demo','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,15.0,'completed',1732384801.5,NULL,NULL,1732384800.0,1732384800.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-40e8-7a8b-8371-60644f735512','waiting','pending',2,0.5,'half',1732384862.0,NULL,NULL,NULL,'{"a":[1,"ü"]}',NULL,600.0,1732384802.0,NULL,NULL,NULL,NULL,NULL,1732384801.0,1732384802.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-48b8-7bcc-a248-27d3ce7db2e0','limited','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,3600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384803.0,1732384803.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-4ca0-7dfa-895a-89a76ae693e9','simulated','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,600.0,'error',1732384864.0,NULL,NULL,1732384804.0,1732384804.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-5088-7b5d-ba51-48a45c906858','delivered','completed',2,NULL,NULL,NULL,'{"frames":7}',NULL,NULL,NULL,NULL,NULL,1732384806.0,NULL,NULL,NULL,NULL,NULL,1732384805.0,1732384806.0,1732384806.0);
INSERT INTO "jobs" VALUES('01935a2e-5858-725a-a07b-1b5c4fbefc87','dead','error',2,NULL,NULL,NULL,NULL,'disk','is full',NULL,NULL,NULL,1732384808.0,NULL,NULL,NULL,NULL,NULL,1732384807.0,1732384808.0,1732384808.0);
INSERT INTO "jobs" VALUES('01935a2e-6028-7ff1-8048-26c7d2585898','retried','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384810.0,NULL,NULL,NULL,NULL,NULL,1732384809.0,1732384810.0,1732384810.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-7864-9f18-a5744adcb751','cancelled','error',2,NULL,NULL,NULL,NULL,'cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384811.0,1732384811.0,1732384811.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-7b73-ac86-57f0234b24e6','keyed','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'key','hash',1732384811.0,1732384811.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6be0-72a2-9a5b-d6d468bbb1a2','sending','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384813.0,NULL,NULL,NULL,NULL,NULL,1732384812.0,1732384813.0,1732384813.0);
CREATE TABLE old_secrets (
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                secret TEXT NOT NULL,
                until REAL NOT NULL,
                PRIMARY KEY (webhook_id, secret)
            ) STRICT, WITHOUT ROWID
            ;
INSERT INTO "old_secrets" VALUES('wh_ca913890de87c0385e4f29b8ba5cf0a8','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1732471211.0);
CREATE TABLE origins (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                origin TEXT NOT NULL UNIQUE,
                paused_until REAL NOT NULL DEFAULT 0,
                failures INTEGER NOT NULL DEFAULT 0,
                served_at REAL NOT NULL DEFAULT 0,
                lease TEXT,
                leased_until REAL NOT NULL DEFAULT 0
            , slots INTEGER NOT NULL DEFAULT 16, round INTEGER NOT NULL DEFAULT 0, down_since REAL) STRICT
            ;
INSERT INTO "origins" VALUES(1,'https://receiver.example:443',0.0,2,1732384813.0,'node',1732384873.0,4,2,1732384808.0);
CREATE TABLE schema_version (version INTEGER NOT NULL, compatible INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(2,2);
CREATE TABLE webhooks (
                id TEXT PRIMARY KEY,
                origin_id INTEGER NOT NULL REFERENCES origins (id),
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                kind TEXT,
                url TEXT NOT NULL,
                events TEXT NOT NULL,
                name TEXT,
                secret TEXT NOT NULL,
                enabled INTEGER NOT NULL DEFAULT 1,
                reason TEXT,
                failing_since REAL,
                created_at REAL NOT NULL,
                finished_at REAL,
                removed_at REAL,
                CHECK (job_id IS NULL OR kind IS NULL)
            ) STRICT
            ;
INSERT INTO "webhooks" VALUES('wh_e3ad6144cce766c2dde78433747bf934',1,'01935a2e-5088-7b5d-ba51-48a45c906858',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384805.0,1732384806.0,NULL);
INSERT INTO "webhooks" VALUES('wh_da0f6f114ce2b554154a19ea350bb518',1,'01935a2e-5858-725a-a07b-1b5c4fbefc87',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384808.0,1732384807.0,1732384808.0,NULL);
INSERT INTO "webhooks" VALUES('wh_2b2c6cbf3258e0a716d56054550d5601',1,'01935a2e-6028-7ff1-8048-26c7d2585898',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384810.0,1732384809.0,1732384810.0,NULL);
INSERT INTO "webhooks" VALUES('wh_c19ba4c555a75483138e587f7297e044',1,'01935a2e-67f8-7864-9f18-a5744adcb751',NULL,'https://receiver.example/hook','job.completed job.error',NULL,'whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384811.0,1732384811.0,1732384811.0);
INSERT INTO "webhooks" VALUES('wh_ca913890de87c0385e4f29b8ba5cf0a8',1,NULL,'delivered','https://receiver.example/hook','job.completed job.error','kind','whsec_F7sVSXbxd3/vz4U+YBnZC/CNPg0OlYlqamlgWvZhtns=',1,NULL,NULL,1732384811.0,NULL,NULL);
INSERT INTO "webhooks" VALUES('wh_31316c0e4e58bc2b3c8489f59d5ba7f9',1,NULL,NULL,'https://receiver.example/hook','job.completed job.error','gone','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',0,'by request',NULL,1732384811.0,NULL,NULL);
INSERT INTO "webhooks" VALUES('wh_6d3ad82a133c7fdc54c04f9232c514a7',1,'01935a2e-6be0-72a2-9a5b-d6d468bbb1a2',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384812.0,1732384813.0,NULL);
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_kind ON jobs (kind, id);
CREATE INDEX jobs_result ON jobs (result, id);
CREATE INDEX jobs_kind_result ON jobs (kind, result, id);
CREATE UNIQUE INDEX webhooks_scope
                ON webhooks (url, COALESCE(job_id, ''), COALESCE(kind, ''))
                WHERE removed_at IS NULL
            ;
CREATE INDEX webhooks_job ON webhooks (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX webhooks_wide ON webhooks (kind) WHERE job_id IS NULL;
CREATE INDEX webhooks_active
                ON webhooks (id) WHERE removed_at IS NULL AND finished_at IS NULL
            ;
CREATE INDEX webhooks_origin ON webhooks (origin_id, removed_at, finished_at);
CREATE INDEX webhooks_removed ON webhooks (removed_at) WHERE removed_at IS NOT NULL;
CREATE UNIQUE INDEX deliveries_pending
                ON deliveries (webhook_id, job_id) WHERE state = 'pending'
            ;
CREATE UNIQUE INDEX deliveries_sending
                ON deliveries (webhook_id, job_id) WHERE state = 'sending'
            ;
CREATE INDEX deliveries_due
                ON deliveries (origin_id, due_at) WHERE state = 'pending'
            ;
CREATE INDEX deliveries_next ON deliveries (due_at) WHERE state = 'pending';
CREATE INDEX deliveries_busy ON deliveries (origin_id) WHERE state = 'sending';
CREATE INDEX deliveries_job ON deliveries (job_id);
CREATE INDEX deliveries_body ON deliveries (body_id);
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, job_id, state)
            ;
CREATE INDEX attempts_delivery ON attempts (delivery_id);
CREATE INDEX origins_paused ON origins (paused_until);
CREATE INDEX deliveries_log ON deliveries (webhook_id, created_at, id);
CREATE INDEX deliveries_dead
                ON deliveries (webhook_id, finished_at) WHERE state = 'dead'
            ;
CREATE INDEX webhooks_listed
                ON webhooks (created_at, id) WHERE removed_at IS NULL
            ;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('origins',7);
INSERT INTO "sqlite_sequence" VALUES('bodies',4);
INSERT INTO "sqlite_sequence" VALUES('attempts',3);
COMMIT;
