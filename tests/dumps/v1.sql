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
INSERT INTO "attempts" VALUES(1,'msg_667954b083046a9f510c2367ecd0f745',1,1732384806.0,1732384806.0,'ok',200,NULL);
INSERT INTO "attempts" VALUES(2,'msg_e372c42e241e473f2fe01ae14d78aa37',1,1732384808.0,1732384808.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(3,'msg_1f857ecb3ed6b2c0959c5431695d6211',1,1732384810.0,1732384810.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(4,'msg_ab79b44886925351e5291a00a6c45e33',1,1732384813.0,NULL,NULL,NULL,NULL);
CREATE TABLE bodies (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                body TEXT NOT NULL,
                UNIQUE (job_id, version)
            ) STRICT
            ;
INSERT INTO "bodies" VALUES(1,'01935a2e-5088-71dd-952f-23b9bde2c743',2,'{"result":"completed","timestamp":1732384806000,"type":"job.completed","job":{"id":"01935a2e-5088-71dd-952f-23b9bde2c743","kind":"delivered","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":{"frames":7},"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:05.000Z","updated_at":"2024-11-23T18:00:06.000Z","finished_at":"2024-11-23T18:00:06.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5088-71dd-952f-23b9bde2c743","status":"/jobs/01935a2e-5088-71dd-952f-23b9bde2c743/status","operation":"/jobs/01935a2e-5088-71dd-952f-23b9bde2c743/operation"}}}');
INSERT INTO "bodies" VALUES(2,'01935a2e-5858-78d8-8ed3-d726fbe26d2f',2,'{"result":"error","timestamp":1732384808000,"type":"job.error","job":{"id":"01935a2e-5858-78d8-8ed3-d726fbe26d2f","kind":"dead","result":"error","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":{"code":"disk","message":"is full"},"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:07.000Z","updated_at":"2024-11-23T18:00:08.000Z","finished_at":"2024-11-23T18:00:08.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5858-78d8-8ed3-d726fbe26d2f","status":"/jobs/01935a2e-5858-78d8-8ed3-d726fbe26d2f/status","operation":"/jobs/01935a2e-5858-78d8-8ed3-d726fbe26d2f/operation"}}}');
INSERT INTO "bodies" VALUES(3,'01935a2e-6028-79d0-a752-6f4d58a8f708',2,'{"result":"completed","timestamp":1732384810000,"type":"job.completed","job":{"id":"01935a2e-6028-79d0-a752-6f4d58a8f708","kind":"retried","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:09.000Z","updated_at":"2024-11-23T18:00:10.000Z","finished_at":"2024-11-23T18:00:10.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6028-79d0-a752-6f4d58a8f708","status":"/jobs/01935a2e-6028-79d0-a752-6f4d58a8f708/status","operation":"/jobs/01935a2e-6028-79d0-a752-6f4d58a8f708/operation"}}}');
INSERT INTO "bodies" VALUES(4,'01935a2e-6be0-7385-8f9d-9a62d967ac87',2,'{"result":"completed","timestamp":1732384813000,"type":"job.completed","job":{"id":"01935a2e-6be0-7385-8f9d-9a62d967ac87","kind":"sending","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:12.000Z","updated_at":"2024-11-23T18:00:13.000Z","finished_at":"2024-11-23T18:00:13.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6be0-7385-8f9d-9a62d967ac87","status":"/jobs/01935a2e-6be0-7385-8f9d-9a62d967ac87/status","operation":"/jobs/01935a2e-6be0-7385-8f9d-9a62d967ac87/operation"}}}');
CREATE TABLE deliveries (
                id TEXT PRIMARY KEY,
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                origin_id INTEGER NOT NULL REFERENCES origins (id),
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
                finished_at REAL,
                CHECK ((state IN ('pending', 'sending')) = (finished_at IS NULL))
            ) STRICT
            ;
INSERT INTO "deliveries" VALUES('msg_667954b083046a9f510c2367ecd0f745','wh_605e8865d62966afe33e67205856f7e1',1,'01935a2e-5088-71dd-952f-23b9bde2c743',2,'job.completed',1,'delivered',1,1732384806.0,1732384806.0,1732384806.0);
INSERT INTO "deliveries" VALUES('msg_e372c42e241e473f2fe01ae14d78aa37','wh_4b83d6ae3da2018da7e2208ddb9a2204',1,'01935a2e-5858-78d8-8ed3-d726fbe26d2f',2,'job.error',2,'dead',1,1732384808.0,1732384808.0,1732384808.0);
INSERT INTO "deliveries" VALUES('msg_1f857ecb3ed6b2c0959c5431695d6211','wh_0851af6fca40f02524679c8f58cf5612',1,'01935a2e-6028-79d0-a752-6f4d58a8f708',2,'job.completed',3,'pending',1,1732388410.0,1732384810.0,NULL);
INSERT INTO "deliveries" VALUES('msg_ab79b44886925351e5291a00a6c45e33','wh_f4c6e4d26ff3418b599a3000e37fb8c9',1,'01935a2e-6be0-7385-8f9d-9a62d967ac87',2,'job.completed',4,'sending',1,1732384813.0,1732384813.0,NULL);
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
INSERT INTO "events" VALUES('01935a2e-3d00-7579-a669-70b53bd9c2c3',1,1732384800.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-79ef-8fb4-6d7c6f55eb77',1,1732384801.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-79ef-8fb4-6d7c6f55eb77',2,1732384802.0,'pending',0.5,'half');
INSERT INTO "events" VALUES('01935a2e-48b8-7cbc-abd6-6b2c5fe6b78c',1,1732384803.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-4ca0-7687-b210-fa88114d3b32',1,1732384804.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-71dd-952f-23b9bde2c743',1,1732384805.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-71dd-952f-23b9bde2c743',2,1732384806.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-78d8-8ed3-d726fbe26d2f',1,1732384807.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-78d8-8ed3-d726fbe26d2f',2,1732384808.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-79d0-a752-6f4d58a8f708',1,1732384809.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-79d0-a752-6f4d58a8f708',2,1732384810.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-738e-9c90-fc4ac4318a6f',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7528-b136-fdc19c7a628c',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7528-b136-fdc19c7a628c',2,1732384811.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-7385-8f9d-9a62d967ac87',1,1732384812.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-7385-8f9d-9a62d967ac87',2,1732384813.0,'completed',NULL,NULL);
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
INSERT INTO "jobs" VALUES('01935a2e-3d00-7579-a669-70b53bd9c2c3','demo','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,15.0,'completed',1732384801.5,NULL,NULL,1732384800.0,1732384800.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-40e8-79ef-8fb4-6d7c6f55eb77','waiting','pending',2,0.5,'half',1732384862.0,NULL,NULL,NULL,'{"a":[1,"ü"]}',NULL,600.0,1732384802.0,NULL,NULL,NULL,NULL,NULL,1732384801.0,1732384802.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-48b8-7cbc-abd6-6b2c5fe6b78c','limited','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,3600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384803.0,1732384803.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-4ca0-7687-b210-fa88114d3b32','simulated','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,600.0,'error',1732384864.0,NULL,NULL,1732384804.0,1732384804.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-5088-71dd-952f-23b9bde2c743','delivered','completed',2,NULL,NULL,NULL,'{"frames":7}',NULL,NULL,NULL,NULL,NULL,1732384806.0,NULL,NULL,NULL,NULL,NULL,1732384805.0,1732384806.0,1732384806.0);
INSERT INTO "jobs" VALUES('01935a2e-5858-78d8-8ed3-d726fbe26d2f','dead','error',2,NULL,NULL,NULL,NULL,'disk','is full',NULL,NULL,NULL,1732384808.0,NULL,NULL,NULL,NULL,NULL,1732384807.0,1732384808.0,1732384808.0);
INSERT INTO "jobs" VALUES('01935a2e-6028-79d0-a752-6f4d58a8f708','retried','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384810.0,NULL,NULL,NULL,NULL,NULL,1732384809.0,1732384810.0,1732384810.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-7528-b136-fdc19c7a628c','cancelled','error',2,NULL,NULL,NULL,NULL,'cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384811.0,1732384811.0,1732384811.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-738e-9c90-fc4ac4318a6f','keyed','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'key','hash',1732384811.0,1732384811.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6be0-7385-8f9d-9a62d967ac87','sending','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384813.0,NULL,NULL,NULL,NULL,NULL,1732384812.0,1732384813.0,1732384813.0);
CREATE TABLE origins (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                origin TEXT NOT NULL UNIQUE,
                paused_until REAL NOT NULL DEFAULT 0,
                failures INTEGER NOT NULL DEFAULT 0,
                served_at REAL NOT NULL DEFAULT 0,
                lease TEXT,
                leased_until REAL NOT NULL DEFAULT 0
            ) STRICT
            ;
INSERT INTO "origins" VALUES(1,'https://receiver.example:443',0.0,0,1732384813.0,NULL,0.0);
CREATE TABLE schema_version (version INTEGER NOT NULL, compatible INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(1,1);
CREATE TABLE webhooks (
                id TEXT PRIMARY KEY,
                origin_id INTEGER NOT NULL REFERENCES origins (id),
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                kind TEXT,
                url TEXT NOT NULL,
                events TEXT NOT NULL,
                name TEXT,
                secret TEXT NOT NULL,
                old_secret TEXT,
                old_secret_until REAL,
                enabled INTEGER NOT NULL DEFAULT 1,
                reason TEXT,
                failing_since REAL,
                created_at REAL NOT NULL,
                finished_at REAL,
                removed_at REAL,
                CHECK (job_id IS NULL OR kind IS NULL)
            ) STRICT
            ;
INSERT INTO "webhooks" VALUES('wh_605e8865d62966afe33e67205856f7e1',1,'01935a2e-5088-71dd-952f-23b9bde2c743',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384805.0,1732384806.0,NULL);
INSERT INTO "webhooks" VALUES('wh_4b83d6ae3da2018da7e2208ddb9a2204',1,'01935a2e-5858-78d8-8ed3-d726fbe26d2f',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384807.0,1732384808.0,NULL);
INSERT INTO "webhooks" VALUES('wh_0851af6fca40f02524679c8f58cf5612',1,'01935a2e-6028-79d0-a752-6f4d58a8f708',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384809.0,1732384810.0,NULL);
INSERT INTO "webhooks" VALUES('wh_28e799b977a1e0c7b111711a9d1af161',1,'01935a2e-67f8-7528-b136-fdc19c7a628c',NULL,'https://receiver.example/hook','job.completed job.error',NULL,'whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384811.0,1732384811.0,1732384811.0);
INSERT INTO "webhooks" VALUES('wh_f4c6e4d26ff3418b599a3000e37fb8c9',1,'01935a2e-6be0-7385-8f9d-9a62d967ac87',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384812.0,1732384813.0,NULL);
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_kind ON jobs (kind, id);
CREATE INDEX jobs_result ON jobs (result, id);
CREATE UNIQUE INDEX webhooks_scope
                ON webhooks (url, COALESCE(job_id, ''), COALESCE(kind, ''))
                WHERE removed_at IS NULL
            ;
CREATE INDEX webhooks_job ON webhooks (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX webhooks_wide ON webhooks (kind) WHERE job_id IS NULL;
CREATE INDEX webhooks_active
                ON webhooks (origin_id) WHERE removed_at IS NULL AND finished_at IS NULL
            ;
CREATE INDEX webhooks_origin ON webhooks (origin_id);
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('origins',5);
INSERT INTO "sqlite_sequence" VALUES('bodies',4);
INSERT INTO "sqlite_sequence" VALUES('attempts',4);
COMMIT;
