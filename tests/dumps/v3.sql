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
INSERT INTO "attempts" VALUES(1,'msg_87865ab0c2131a9e7a64be737680ab78',1,1732384806.0,1732384806.0,'ok',200,NULL);
INSERT INTO "attempts" VALUES(2,'msg_036d6619a4e430a5ec142ac85fe71aea',1,1732384808.0,1732384808.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(3,'msg_6898e60acc84bd9677e229ee93031b08',1,1732384810.0,1732384810.0,'connect',NULL,NULL);
CREATE TABLE bodies (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                body TEXT NOT NULL,
                UNIQUE (job_id, version)
            ) STRICT
            ;
INSERT INTO "bodies" VALUES(1,'01935a2e-5088-7df6-ae2d-03a3e3360c93',2,'{"result":"completed","timestamp":1732384806000,"type":"job.completed","job":{"id":"01935a2e-5088-7df6-ae2d-03a3e3360c93","kind":"delivered","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":{"frames":7},"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:05.000Z","updated_at":"2024-11-23T18:00:06.000Z","finished_at":"2024-11-23T18:00:06.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5088-7df6-ae2d-03a3e3360c93","status":"/jobs/01935a2e-5088-7df6-ae2d-03a3e3360c93/status","operation":"/jobs/01935a2e-5088-7df6-ae2d-03a3e3360c93/operation","events":"/jobs/01935a2e-5088-7df6-ae2d-03a3e3360c93/events"}}}');
INSERT INTO "bodies" VALUES(2,'01935a2e-5858-7fce-a906-b3a7cd4d702e',2,'{"result":"error","timestamp":1732384808000,"type":"job.error","job":{"id":"01935a2e-5858-7fce-a906-b3a7cd4d702e","kind":"dead","result":"error","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":{"code":"disk","message":"is full"},"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:07.000Z","updated_at":"2024-11-23T18:00:08.000Z","finished_at":"2024-11-23T18:00:08.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5858-7fce-a906-b3a7cd4d702e","status":"/jobs/01935a2e-5858-7fce-a906-b3a7cd4d702e/status","operation":"/jobs/01935a2e-5858-7fce-a906-b3a7cd4d702e/operation","events":"/jobs/01935a2e-5858-7fce-a906-b3a7cd4d702e/events"}}}');
INSERT INTO "bodies" VALUES(3,'01935a2e-6028-7213-be05-74a0222ceac3',2,'{"result":"completed","timestamp":1732384810000,"type":"job.completed","job":{"id":"01935a2e-6028-7213-be05-74a0222ceac3","kind":"retried","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:09.000Z","updated_at":"2024-11-23T18:00:10.000Z","finished_at":"2024-11-23T18:00:10.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6028-7213-be05-74a0222ceac3","status":"/jobs/01935a2e-6028-7213-be05-74a0222ceac3/status","operation":"/jobs/01935a2e-6028-7213-be05-74a0222ceac3/operation","events":"/jobs/01935a2e-6028-7213-be05-74a0222ceac3/events"}}}');
INSERT INTO "bodies" VALUES(4,'01935a2e-6be0-77ec-bb8e-4fc0a0051a0e',2,'{"result":"completed","timestamp":1732384813000,"type":"job.completed","job":{"id":"01935a2e-6be0-77ec-bb8e-4fc0a0051a0e","kind":"sending","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:12.000Z","updated_at":"2024-11-23T18:00:13.000Z","finished_at":"2024-11-23T18:00:13.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6be0-77ec-bb8e-4fc0a0051a0e","status":"/jobs/01935a2e-6be0-77ec-bb8e-4fc0a0051a0e/status","operation":"/jobs/01935a2e-6be0-77ec-bb8e-4fc0a0051a0e/operation","events":"/jobs/01935a2e-6be0-77ec-bb8e-4fc0a0051a0e/events"}}}');
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
INSERT INTO "deliveries" VALUES('msg_87865ab0c2131a9e7a64be737680ab78','wh_8254021b204d6abc89066cda9c8e66cd',1,'01935a2e-5088-7df6-ae2d-03a3e3360c93',2,'job.completed',1,'delivered',1,1732384806.0,1732384806.0,1732384806.0,1732384806.0,NULL);
INSERT INTO "deliveries" VALUES('msg_036d6619a4e430a5ec142ac85fe71aea','wh_bd0841fc87995f621979f7cb63b1304b',1,'01935a2e-5858-7fce-a906-b3a7cd4d702e',2,'job.error',2,'dead',1,1732384808.0,1732384808.0,1732384808.0,1732384808.0,'every attempt failed');
INSERT INTO "deliveries" VALUES('msg_6898e60acc84bd9677e229ee93031b08','wh_e3a48ed9baa23d41271aef3291c7a136',1,'01935a2e-6028-7213-be05-74a0222ceac3',2,'job.completed',3,'pending',1,1732388410.0,1732384810.0,NULL,1732384810.0,NULL);
INSERT INTO "deliveries" VALUES('msg_9270bd5a33f718d00fba93cc35609814','wh_a77d77b9fb69ee9202f7b381a64b8b48',1,'01935a2e-6be0-77ec-bb8e-4fc0a0051a0e',2,'job.completed',4,'sending',1,1732384813.0,1732384813.0,NULL,1732384813.0,NULL);
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
INSERT INTO "events" VALUES('01935a2e-3d00-76e5-949b-e89509cc5bca',1,1732384800.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7a11-a7ae-4dc5d582a694',1,1732384801.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7a11-a7ae-4dc5d582a694',2,1732384802.0,'pending',0.5,'half');
INSERT INTO "events" VALUES('01935a2e-48b8-705d-8ad2-8107556a0793',1,1732384803.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-4ca0-7fe3-9566-bfede47be521',1,1732384804.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7df6-ae2d-03a3e3360c93',1,1732384805.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7df6-ae2d-03a3e3360c93',2,1732384806.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-7fce-a906-b3a7cd4d702e',1,1732384807.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-7fce-a906-b3a7cd4d702e',2,1732384808.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7213-be05-74a0222ceac3',1,1732384809.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7213-be05-74a0222ceac3',2,1732384810.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-72fe-b7d3-2aaeda81fdb4',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7ced-a37d-5567ced10a12',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7ced-a37d-5567ced10a12',2,1732384811.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-77ec-bb8e-4fc0a0051a0e',1,1732384812.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-77ec-bb8e-4fc0a0051a0e',2,1732384813.0,'completed',NULL,NULL);
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
INSERT INTO "jobs" VALUES('01935a2e-3d00-76e5-949b-e89509cc5bca','demo','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,15.0,'completed',1732384801.5,NULL,NULL,1732384800.0,1732384800.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-40e8-7a11-a7ae-4dc5d582a694','waiting','pending',2,0.5,'half',1732384862.0,NULL,NULL,NULL,'{"a":[1,"ü"]}',NULL,600.0,1732384802.0,NULL,NULL,NULL,NULL,NULL,1732384801.0,1732384802.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-48b8-705d-8ad2-8107556a0793','limited','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,3600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384803.0,1732384803.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-4ca0-7fe3-9566-bfede47be521','simulated','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,600.0,'error',1732384864.0,NULL,NULL,1732384804.0,1732384804.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-5088-7df6-ae2d-03a3e3360c93','delivered','completed',2,NULL,NULL,NULL,'{"frames":7}',NULL,NULL,NULL,NULL,NULL,1732384806.0,NULL,NULL,NULL,NULL,NULL,1732384805.0,1732384806.0,1732384806.0);
INSERT INTO "jobs" VALUES('01935a2e-5858-7fce-a906-b3a7cd4d702e','dead','error',2,NULL,NULL,NULL,NULL,'disk','is full',NULL,NULL,NULL,1732384808.0,NULL,NULL,NULL,NULL,NULL,1732384807.0,1732384808.0,1732384808.0);
INSERT INTO "jobs" VALUES('01935a2e-6028-7213-be05-74a0222ceac3','retried','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384810.0,NULL,NULL,NULL,NULL,NULL,1732384809.0,1732384810.0,1732384810.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-7ced-a37d-5567ced10a12','cancelled','error',2,NULL,NULL,NULL,NULL,'cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384811.0,1732384811.0,1732384811.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-72fe-b7d3-2aaeda81fdb4','keyed','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'key','hash',1732384811.0,1732384811.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6be0-77ec-bb8e-4fc0a0051a0e','sending','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384813.0,NULL,NULL,NULL,NULL,NULL,1732384812.0,1732384813.0,1732384813.0);
CREATE TABLE old_secrets (
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                secret TEXT NOT NULL,
                until REAL NOT NULL,
                PRIMARY KEY (webhook_id, secret)
            ) STRICT, WITHOUT ROWID
            ;
INSERT INTO "old_secrets" VALUES('wh_587fd244fdf028b31df973cb8c46f495','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1732471211.0);
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
INSERT INTO "schema_version" VALUES(3,3);
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
                removed_at REAL, failing_days INTEGER NOT NULL DEFAULT 0, failed_on INTEGER, given_up INTEGER NOT NULL DEFAULT 0,
                CHECK (job_id IS NULL OR kind IS NULL)
            ) STRICT
            ;
INSERT INTO "webhooks" VALUES('wh_8254021b204d6abc89066cda9c8e66cd',1,'01935a2e-5088-7df6-ae2d-03a3e3360c93',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384805.0,1732384806.0,NULL,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_bd0841fc87995f621979f7cb63b1304b',1,'01935a2e-5858-7fce-a906-b3a7cd4d702e',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384808.0,1732384807.0,1732384808.0,NULL,1,20050,0);
INSERT INTO "webhooks" VALUES('wh_e3a48ed9baa23d41271aef3291c7a136',1,'01935a2e-6028-7213-be05-74a0222ceac3',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384810.0,1732384809.0,1732384810.0,NULL,1,20050,0);
INSERT INTO "webhooks" VALUES('wh_8754d103ada18bdfa9bc252804598b02',1,'01935a2e-67f8-7ced-a37d-5567ced10a12',NULL,'https://receiver.example/hook','job.completed job.error',NULL,'whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384811.0,1732384811.0,1732384811.0,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_587fd244fdf028b31df973cb8c46f495',1,NULL,'delivered','https://receiver.example/hook','job.completed job.error','kind','whsec_rpZjMMfpm95ELIIwtLih/QnDbyfGUZJq2PuducDMxd8=',1,NULL,NULL,1732384811.0,NULL,NULL,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_b2ee3297750b0c10bf9113da6cf14dc6',1,NULL,NULL,'https://receiver.example/hook','job.completed job.error','gone','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',0,'by request',NULL,1732384811.0,NULL,NULL,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_a77d77b9fb69ee9202f7b381a64b8b48',1,'01935a2e-6be0-77ec-bb8e-4fc0a0051a0e',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384812.0,1732384813.0,NULL,0,NULL,0);
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
